# What the rules' commands begin with; sourced before each of them.
scripts=$(dirname "${BASH_SOURCE[0]}")

# on_gpus COUNT COMMAND...: run it on GPUs of its own.
on_gpus() {
    bash "$scripts/on_gpus.sh" "$@"
}

# into FILE COMMAND...: its standard output becomes the file.
into() {
    local file=$1
    shift
    "$@" > "$file"
}

# logged LOG COMMAND...: its output becomes the log. Snakemake removes a log before a job is tried again; so an attempt is
# written to a file of its own, named after its beginning, that LOG leads to, and stays unless the attempt succeeds. One that
# was killed leaves it, too.
logged() {
    local log=$1 code=0
    local attempt="${log%.log}.begun-$(date +%Y-%m-%dT%H.%M.%S)-$$.log"
    shift
    ln -sfn "$(basename "$attempt")" "$log"
    "$@" > "$attempt" 2>&1 || code=$?
    if [ "$code" -eq 0 ]; then
        mv -f "$attempt" "$log"
    fi
    return "$code"
}
