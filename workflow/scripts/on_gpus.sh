#!/usr/bin/env bash
# Run a command on GPUs of its own: on_gpus.sh COUNT COMMAND...
#
# Jobs of one machine share its GPUs through a lock file each; a job that finds too few free ones waits. They share those
# of CUDA_VISIBLE_DEVICES if it is set. Where that names COUNT of them, a cluster has given the job its own, and nothing is
# claimed; nor is it with COUNT 0. Several GPUs work together: `ddecli train` and `prepare` are started by accelerate then,
# one process per GPU.
set -euo pipefail
count=$1
shift

claim() {
    local locks=${DDECLI_GPU_LOCKS:-/tmp/ddecli-gpus-$(id -u)} gpu fd
    mkdir -p "$locks"
    local gpus=${DDECLI_GPUS:-${CUDA_VISIBLE_DEVICES//,/ }}
    gpus=${gpus:-$(nvidia-smi --query-gpu=index --format=csv,noheader | tr '\n' ' ')}
    if [ "$(wc -w <<<"$gpus")" -lt "$count" ]; then
        echo "This job asks for $count GPUs, there are $(wc -w <<<"$gpus"): lower \`gpus\` in the configuration." >&2
        exit 2
    fi
    while true; do
        local taken=()
        for gpu in $gpus; do
            exec {fd}>"$locks/$gpu"
            if flock --nonblock "$fd"; then taken+=("$gpu:$fd"); else exec {fd}>&-; fi
            [ "${#taken[@]}" -eq "$count" ] && break
        done
        [ "${#taken[@]}" -eq "$count" ] && break
        for pair in "${taken[@]}"; do fd=${pair#*:}; exec {fd}>&-; done  # all or none: no two jobs wait for each other
        sleep "$((RANDOM % 5 + 1))"
    done
    export CUDA_VISIBLE_DEVICES
    CUDA_VISIBLE_DEVICES=$(IFS=,; echo "${taken[*]%%:*}")
}

given=$(tr ',' ' ' <<<"${CUDA_VISIBLE_DEVICES:=}" | wc -w)
if [ "$count" -gt 0 ] && [ "$given" -ne "$count" ]; then claim; fi
if [ "$count" -gt 1 ] && [[ "$1 ${2:-}" =~ ^ddecli\ (train|prepare)$ ]]; then
    set -- accelerate launch --multi_gpu --num_processes "$count" --mixed_precision no -m "$@"
fi
exec "$@"
