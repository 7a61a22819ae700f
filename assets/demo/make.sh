#!/bin/sh
# Remakes the demo from nothing: data, the base, its adapters, the gallery and the experiment. Hours on two cores; each
# part goes on where it was stopped, and what is there is not made again.
#
#   sh assets/demo/make.sh        # works in target/demo, which the recipes name; fills assets/demo and docs/demo
set -eu
cd "$(dirname "$0")/../.."
out=target/demo
demo=assets/demo
livr=target/release/livr
nine="counting jigsaw object_localization visual_correspondence art_style semantic_correspondence
    functional_correspondence relative_reflectance visual_similarity"

# data PART TASK TRAIN,VALIDATION,TEST SEED: samples with what is true of places of their images.
data() {
    [ -d "$out/$1/$2" ] && return
    rm -rf "$out/$1/$2.part"
    mkdir -p "$out/$1"
    $livr tasks "$2" --split "$3" --seed "$4" --side 168 --colours --grounding --out "$out/$1/$2.part"
    mv "$out/$1/$2.part" "$out/$1/$2"
}

# train RECIPE RUN: to its end, from wherever it is.
train() {
    if [ -f "$out/$2/model.safetensors" ] || [ -f "$out/$2/adapter_model.safetensors" ]; then return; fi
    if [ -f "$out/$2/state.safetensors" ]; then
        $livr train --resume --out "$out/$2"
    else
        rm -rf "${out:?}/$2"
        $livr train --recipe "$1" --out "$out/$2"
    fi
}

# tune WAY SEED: an adapter on the base, from a copy of its recipe with that seed.
tune() {
    recipe=$demo/recipes/.$1-$2.toml
    sed "s/^seed = .*/seed = $2/" "$demo/recipes/$1.toml" >"$recipe"
    train "$recipe" "$1-$2"
    rm -f "$recipe"
}

# keep FOLDER NAME: the files of a model or adapter, not those of its training.
keep() {
    mkdir -p "$demo/$2"
    rm -rf "$out/keep"
    mkdir -p "$out/keep"
    for file in "$1"/*; do
        case $(basename "$file") in
        state.safetensors | metrics.jsonl | recipe.toml | run.json | README.md) ;;
        *) [ -f "$file" ] && cp "$file" "$out/keep/" ;;
        esac
    done
    # Where the base lay while it was tuned is nobody's business.
    if [ -f "$out/keep/adapter_config.json" ]; then
        sed -i 's#"base_model_name_or_path": .*#"base_model_name_or_path": null,#' "$out/keep/adapter_config.json"
    fi
    # What is the same stays as it is: what was measured of it counts.
    for file in "$out/keep"/*; do
        cmp -s "$file" "$demo/$2/$(basename "$file")" || mv "$file" "$demo/$2/"
    done
}

cargo build --release --quiet

# The base.
data base counting 24000,60,0 101
for task in $nine; do data base "$task" 6000,60,0 101; done
for task in listing pairing tallying; do data base "$task" 10000,60,0 101; done
for task in naming locating comparing matching; do data base "$task" 2500,60,0 101; done
train $demo/recipes/1-look.toml look
train $demo/recipes/2-read.toml read
data again counting 18000,60,0 404
data again jigsaw 6000,60,0 404
data again locating 5000,60,0 404
for task in tallying relative_reflectance; do data again "$task" 3750,60,0 404; done
for task in semantic_correspondence visual_correspondence functional_correspondence; do
    data again "$task" 2500,60,0 404
done
for task in naming object_localization visual_similarity; do data again "$task" 2000,60,0 404; done
for task in listing art_style comparing matching; do data again "$task" 1200,60,0 404; done
train $demo/recipes/3-count.toml count
data last jigsaw 8000,60,0 505
data last semantic_correspondence 6000,60,0 505
data last counting 4000,60,0 505
for task in functional_correspondence relative_reflectance; do data last "$task" 3000,60,0 505; done
data last visual_correspondence 1500,60,0 505
for task in object_localization visual_similarity art_style; do data last "$task" 800,60,0 505; done
for task in tallying naming locating listing matching; do data last "$task" 400,60,0 505; done
train $demo/recipes/4-compare.toml compare
keep $out/compare model

# Its adapters, on samples anew; the first seed's are the program's.
for task in $nine; do data tune "$task" 600,40,0 202; done
data more counting 1200,0,0 212
for seed in 1 2 3; do
    for way in sft latents-only livr; do tune $way $seed; done
done
tune words-only 1
tune pictures-only 1
for way in sft latents-only livr; do keep $out/$way-1 $way; done
keep $out/livr-1/stage-1 stage-1

# The gallery, and the questions of the paper on samples that nothing has seen.
if [ ! -d $out/gallery ]; then
    rm -rf $out/gallery.part
    $livr tasks all --split 0,0,4 --seed 9001 --side 168 --colours --out $out/gallery.part
    mv $out/gallery.part/test.jsonl $out/gallery.part/gallery.jsonl
    mv $out/gallery.part $out/gallery
fi
if ! diff -rq $out/gallery $demo/gallery >/dev/null; then
    rm -rf $demo/gallery.part
    cp -r $out/gallery $demo/gallery.part
    rm -rf $demo/gallery
    mv $demo/gallery.part $demo/gallery
    # Nothing else tells the compiler of it.
    touch src/engine/demo.rs
fi
if [ ! -d $out/test ]; then
    rm -rf $out/test.part
    $livr tasks all --split 0,0,500 --seed 303 --side 168 --colours --out $out/test.part
    mv $out/test.part $out/test
fi
$livr experiment --model $demo/model --data $out/test/test.jsonl --out $out/experiment \
    --adapters base=none \
    sft/1=$out/sft-1 sft/2=$out/sft-2 sft/3=$out/sft-3 \
    latents-only/1=$out/latents-only-1 latents-only/2=$out/latents-only-2 latents-only/3=$out/latents-only-3 \
    livr-stage-1/1=$out/livr-1/stage-1 livr-stage-1/2=$out/livr-2/stage-1 livr-stage-1/3=$out/livr-3/stage-1 \
    livr/1=$out/livr-1 livr/2=$out/livr-2 livr/3=$out/livr-3 \
    --disturb occlusion=0.2 noise=0.1 rotation=20
# What words alone and pictures alone teach: chance, or the test gives answers away.
$livr experiment --model $demo/model --data $out/test/test.jsonl --out $out/words-only \
    --adapters words-only=$out/words-only-1 --disturb no-images
$livr experiment --model $demo/model --data $out/test/test.jsonl --out $out/pictures-only \
    --adapters pictures-only=$out/pictures-only-1 --disturb no-question
mkdir -p docs/demo
for part in experiment words-only pictures-only; do
    for file in tables.md results.json; do cp "$out/$part/$file" "docs/demo/$part-$file"; done
done
cp $out/experiment/battery.svg docs/demo/experiment-battery.svg
cargo build --release --quiet
