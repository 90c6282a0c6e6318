#!/usr/bin/env bash
# What `make demo` does once the tool is installed: the same commands a person would type.
set -euo pipefail

ddecli train --model tiny --loss dde --resume
ddecli sample tiny --prompts world:test --images-per-prompt 2
ddecli sample runs/tiny-dde --prompts world:test --images-per-prompt 2
ddecli score images/tiny-dde --against images/tiny --metric clip --metric hps --metric pickscore \
    --metric truth --metric attributes

echo
echo "Before and after, side by side (same prompts, same noise), in $PWD/images/tiny-dde:"
echo "  beside-tiny.png                 the first prompts"
echo "  beside-tiny-most-changed.png    the images that changed most, whichever way"
