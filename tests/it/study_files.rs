//! What a study file says is checked before the first sample is asked.

use serde_json::Value;

use crate::study::Place;

#[test]
fn what_cannot_be_asked_is_said_before_the_first_sample() {
    let place = Place::new();
    let write = |conditions: &str, models: &str| {
        let text = format!("data = \"data/train.jsonl\"\nlimit = 3\nconditions = {conditions}\n{models}");
        std::fs::write(place.path("s.toml"), text).unwrap();
    };
    let models = "[[models]]\nname = \"with\"\nmodel = \"model\"\nadapter = \"adapter\"\n\
                  [[models]]\nname = \"base\"\nmodel = \"model\"\nadapter = \"none\"\n";
    for (conditions, said) in [
        ("[\"normal\", \"'do=block latents[99]->image'\"]", "latents[99]: there are"),
        ("[\"normal\", \"'do=block all->image @9'\"]", "layers 9: there are"),
        ("[\"normal\", \"'do=block all->image#7'\"]", "sample \"object_localization-train-000000\": image#7"),
        ("[\"normal\", \"'do=latents=zero@after-9'\"]", "layers 9: there are"),
    ] {
        write(conditions, models);
        for command in [&["study", "plan", "@s.toml"][..], &["study", "run", "@s.toml", "--out", "@no"]] {
            let output = place.command(command).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(1) && text.contains(said), "{conditions}: {text}");
            assert!(!place.path("no").exists(), "nothing is begun");
        }
    }
    // What one of the models has nothing of is left out, and said.
    write("[\"normal\", \"no-latents\", \"'do=block readers->latents'\"]", models);
    let planned = place.livr(&["study", "plan", "@s.toml", "--json"]);
    let planned: Value = serde_json::from_slice(&planned.stdout).unwrap();
    assert_eq!(planned["runs"].as_u64(), Some(4 * 3));
    assert_eq!(planned["left_out"].as_array().unwrap().len(), 2);
    let ran = place.livr(&["study", "run", "@s.toml", "--out", "@out"]);
    let text = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(text.contains("base under no-latents is left out: the model has no latents"), "{text}");
    assert!(text.contains("is left out: readers: without latents nothing is behind them"), "{text}");
    let cells = std::fs::read_dir(place.path("out/cells")).unwrap().count();
    assert_eq!(cells, 4);
    // Alone it is refused.
    let words = ["eval", "--model", "@model", "--data", "@data/train.jsonl", "--out", "@e.json", "--do"];
    let output = place.command(&[&words[..], &["block readers->all"]].concat()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("without latents nothing is behind them"));
    assert!(!place.path("e.json.partial").exists());
    // A statement that changes nothing is named.
    let output = place.livr(&[&words[..], &["block image->answer", "--limit", "2"]].concat());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("block image->answer: changed nothing of the prompt"), "{text}");
}

#[test]
fn what_a_study_file_cannot_say_is_said() {
    let place = Place::new();
    let lines = |conditions: &str, rest: &str| {
        format!("data = \"data/train.jsonl\"\nconditions = {conditions}\n{rest}")
    };
    for (text, said) in [
        (lines("[]", ""), "conditions: expected at least one"),
        (lines("[\"loud\"]", ""), "conditions 1: expected words like mask=bottleneck, found loud"),
        (lines("[\"normal\", \"normal\"]", ""), "names of their own, found normal twice"),
        (lines("[{ mask = \"upside-down\" }]", ""), "expected one of standard, bottleneck"),
        (lines("[{ volume = 11 }]", ""), "expected one of mask, latents"),
        (lines("[{ do = [\"latents=\"] }]", ""), "conditions 1: do: expected one of self"),
        (lines("[\"normal\"]", "[[models]]\nadapter = \"demo:best\""), "models 1"),
        (lines("[\"normal\"]", "[[models]]\nname = \"../x\""), "expected a name of letters"),
        (lines("[\"normal\"]", "[[models]]\ndtype = \"f64\""), "expected one of auto, f32"),
        (lines("[\"normal\"]", "loudness = 3"), "line 3: unknown field"),
        (lines("[3]", ""), "line 2: expected a condition's words or a table of its options, found 3"),
        (lines("[\"normal\"]", "batch = -2"), "line 3: expected a whole number from 0, found -2"),
        (lines("[\"normal\"]", "limit = 0"), "limit: expected a number from 1, found 0"),
        (lines("[\"normal\"]", "seed = \"x\""), "line 3: expected a whole number from 0"),
        (lines("[\"mask=bottleneck mask=standard\"]", ""), "mask: expected one value"),
        (lines("[{ disturb = [\"noise=0.1\", \"no-question\"] }]", ""), "disturb: expected one value"),
        (lines("[{ name = \"normal\", mask = \"bottleneck\" }]", ""), "which is another condition's"),
        (lines("[{ name = \"a\\u0000b\", mask = \"bottleneck\" }]", ""), "one that can be printed"),
        (lines("[\"normal\"]", "[[models]]\nname = \"a/1\"\n[[models]]\nname = \"a-1\""), "a/1 and a-1"),
        ("data = \"nowhere.jsonl\"\nconditions = [\"normal\"]".to_owned(), "nowhere.jsonl"),
    ] {
        std::fs::write(place.path("wrong.toml"), &text).unwrap();
        let output = place.command(&["study", "plan", "@wrong.toml"]).output().unwrap();
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}: {problem}");
        assert!(problem.contains(said), "{text}: {problem}");
        assert_eq!(problem.trim().lines().count(), 1, "{problem}");
    }
}
