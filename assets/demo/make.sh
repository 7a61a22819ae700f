#!/bin/sh
# Remakes the demo from nothing: data, the base, its adapters, the gallery and the experiment. Hours on two cores; each
# part goes on where it was stopped, and what is there is not made again.
#
#   sh assets/demo/make.sh [FOLDER]      # target/demo by default; recipes name their data by it
set -eu
cd "$(dirname "$0")/../.."
out=target/demo
livr=target/release/livr
cargo build --release --quiet

# Samples of one task for training and validation, with what is true of places of the images.
data() {
    [ -d "$out/$1/$2" ] && return
    rm -rf "$out/$1/$2.part"
    mkdir -p "$out/$1"
    $livr tasks "$2" --split "$3" --seed "$4" --side 168 --colours --grounding --out "$out/$1/$2.part" >&2
    mv "$out/$1/$2.part" "$out/$1/$2"
}

# A recipe into a folder.
train() {
    if [ -f "$2/model.safetensors" ] || [ -f "$2/adapter_model.safetensors" ]; then return; fi
    if [ -f "$2/recipe.toml" ]; then
        $livr train --resume --out "$2"
    else
        rm -rf "$2"
        $livr train --recipe "$1" --out "$2"
    fi
}

recipes=assets/demo/recipes
for task in counting object_localization semantic_correspondence functional_correspondence visual_correspondence \
    relative_reflectance jigsaw visual_similarity; do
    data base $task 6000,60,0 101
done
data base art_style 2000,60,0 101
for task in listing pairing tallying; do data base $task 10000,60,0 101; done
for task in naming locating comparing matching; do data base $task 2500,60,0 101; done
train $recipes/1-look.toml $out/look
train $recipes/2-read.toml $out/read

# The nine tasks anew for the adapters, and anew for the test.
for task in counting jigsaw object_localization visual_correspondence art_style semantic_correspondence \
    functional_correspondence relative_reflectance visual_similarity; do
    data tune $task 1000,50,0 202
    [ -d "$out/test/$task" ] || data test $task 0,0,500 303
done
for seed in 1 2 3; do
    for way in sft latents-only livr; do
        sed "s/^seed = .*/seed = $seed/" $recipes/$way.toml >$recipes/.$way-$seed.toml
        train $recipes/.$way-$seed.toml $out/$way-$seed
        rm -f $recipes/.$way-$seed.toml
    done
done
