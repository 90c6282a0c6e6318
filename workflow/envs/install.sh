#!/usr/bin/env bash
# Install ddecli in an image: bash install.sh BUILD, where BUILD is a build of torch that pytorch.org has: cpu, cu130, ...
set -euo pipefail
build=$1
cd "$(dirname "$0")/../.."
# Only there has a version such an ending, so that no other build is taken.
pip install --no-cache-dir --constraint workflow/envs/constraints.txt \
    --extra-index-url "https://download.pytorch.org/whl/$build" "torch==2.13.0+$build" "torchvision==0.28.0+$build"
pip install --no-cache-dir --constraint workflow/envs/constraints.txt ".[inception,report,workflow]"
python -c "import torch; print('torch', torch.__version__)"
ddecli --version
