//! Data files of every kind that is read, and what is said of those that cannot be.

use std::path::PathBuf;

use livr_explorer::data::dataset;
use livr_explorer::data::record::Record;
use livr_explorer::data::score::is_correct;
use tempfile::TempDir;

use crate::common::fixture;

/// A folder with a picture a.png, and a data file of these lines beside it.
fn file(name: &str, text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    image::RgbImage::new(40, 30).save(dir.path().join("a.png")).unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn records(name: &str, text: &str) -> Vec<Record> {
    let (_dir, path) = file(name, text);
    dataset::read(&path).unwrap()
}

fn problem(name: &str, text: &str) -> String {
    let (_dir, path) = file(name, text);
    let problem = dataset::read(&path).unwrap_err().to_string();
    assert!(!problem.contains('\n'));
    problem
}

#[test]
fn livr_lines() {
    let (_dir, path) = file(
        "train.jsonl",
        r#"{"id": "one", "images": ["a.png"], "prompt": "How many apples?", "target": 7, "task": "counting", "object_name": "apple"}

{"id": 2, "images": ["a.png", "a.png"], "prompt": "Which? (A) this (B) that", "target": "(B)", "marks": [{"image": 1, "label": "A", "at": [3, 4]}]}
{"images": [], "prompt": "Say red or blue", "target": "red", "choices": ["red", "blue"], "source": "none"}
{"id": "four", "images": ["a.png"], "prompt": "Which?", "target": "A", "choices": ["the left one", "the right one"]}
"#,
    );
    let records = dataset::read(&path).unwrap();
    assert_eq!(records.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["one", "2", "3", "four"]);
    assert_eq!((records[0].target.as_str(), records[0].choices.len()), ("7", 0));
    assert_eq!(records[1].choices, ["A", "B"]);
    assert_eq!(records[1].marks[0].at, [3.0, 4.0]);
    assert_eq!(records[2].choices, ["red", "blue"]);
    assert_eq!(records[3].choices, ["A", "B"]);
    assert_eq!(records[3].options, ["the left one", "the right one"]);
    assert!(
        is_correct(&records[0], "seven apples")
            && is_correct(&records[1], "B")
            && is_correct(&records[2], "Red.")
    );
    assert_eq!(records[1].sample().unwrap().images.len(), 2);
}

#[test]
fn lines_of_mirage_and_of_lvr() {
    let mirage = records(
        "mirage.jsonl",
        r#"{"text_input": "<image>Go to the gift.", "text_output": "<output_image> up, left", "image_input": "a.png", "image_output": "a.png"}"#,
    );
    assert_eq!(
        (mirage[0].prompt.as_str(), mirage[0].target.as_str()),
        ("<image>Go to the gift.", "up, left")
    );
    assert_eq!(mirage[0].images.len(), 1);
    let lvr = records(
        "lvr.json",
        r#"[{"dataset": "flickr30k", "split": "train", "question_id": 31593, "image": ["a.png"],
            "conversations": [{"from": "human", "value": "<image>\nWhere is the dog?"}, {"from": "gpt", "value": "<lvr>\n<answer> on the left </answer>"}],
            "bboxes": [[0.1, 0.2, 0.5, 0.9]]}]"#,
    );
    assert_eq!((lvr[0].id.as_str(), lvr[0].task.as_str()), ("31593", "flickr30k"));
    assert_eq!(lvr[0].marks[0].at, [0.1, 0.2, 0.5, 0.9]);
    assert!(is_correct(&lvr[0], "On the left"));
    let shared = r#"{"conversations": [{"from": "human", "value": "Where?"}, {"from": "gpt", "value": "There"}], "images": ["a.png"]}"#;
    assert_eq!(records("shared.jsonl", shared)[0].images.len(), 1, "under the name that others write");
}

#[test]
fn parquet_as_blink_has_it() {
    for codec in ["snappy", "zstd", "none"] {
        let records = dataset::read(&fixture("blink").join(format!("{codec}.parquet"))).unwrap();
        assert_eq!(records.len(), 5);
        assert_eq!(records[0].id, "val_Jigsaw_1");
        assert_eq!(records[0].task, "Jigsaw");
        assert_eq!(records.iter().map(|r| r.images.len()).collect::<Vec<_>>(), [3, 2, 3, 2, 3]);
        assert_eq!(records[3].target, "(B)");
        assert!(records[0].prompt.contains("(A) the second image"));
        let sample = records[2].sample().unwrap();
        assert_eq!(sample.images[0].pixels.get_pixel(3, 3).0, [20, 20, 30]);
        assert_eq!(sample.choices, ["A", "B"]);
        assert!(is_correct(&records[0], "the second image") && is_correct(&records[1], "B."));
    }
    let counting = dataset::read(&fixture("blink").join("counting.parquet")).unwrap();
    assert!(counting[0].choices.is_empty() && is_correct(&counting[0], "There are four."));
    let hidden = dataset::read(&fixture("blink").join("hidden.parquet")).unwrap_err().to_string();
    assert!(hidden.contains("answer in row 1") && hidden.contains("use val"), "{hidden}");
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let good =
        r#"{"id": "x", "images": ["a.png"], "prompt": "Which?", "target": "A", "choices": ["A", "B"]}"#;
    for (name, text, said) in [
        ("d.jsonl", String::new(), "expected at least one sample, found none"),
        (
            "d.jsonl",
            format!("{good}\n{good}"),
            "id: expected one id for one sample, found \"x\" for samples 1 and 2",
        ),
        ("d.jsonl", format!("{good}\n{{"), "line 2 is not JSON: EOF while parsing an object at column 1 ("),
        ("d.jsonl", "[1, 2".to_owned(), "the data is not JSON"),
        ("d.jsonl", "7".to_owned(), "the sample in line 1: expected an object, found 7"),
        ("d.jsonl", good.replace("a.png", "b.png"), "an image of sample \"x\""),
        (
            "d.jsonl",
            good.replace("\"A\", \"choices\"", "\"Z\", \"choices\""),
            "target in line 1: expected one of the 2 choices, found \"Z\"",
        ),
        ("d.jsonl", good.replace("\"A\", \"choices\"", "\"\", \"choices\""), "target in line 1: expected"),
        (
            "d.jsonl",
            good.replace("\"target\": \"A\", ", ""),
            "target in line 1: expected a text, found nothing",
        ),
        ("d.jsonl", good.replace("\"Which?\"", "3"), "prompt in line 1: expected a text, found 3"),
        (
            "d.jsonl",
            good.replace("Which?", "<image><image>"),
            "images in line 1: expected 2, as the prompt has <image> marks, found 1",
        ),
        ("d.jsonl", good.replace("[\"a.png\"]", "[5]"), "images in line 1: expected a list of texts"),
        (
            "d.jsonl",
            good.replace("{\"id\"", "{\"marks\": [{\"image\": 4, \"label\": \"A\", \"at\": [1, 2]}], \"id\""),
            "marks in line 1: expected an image below 1, found 4",
        ),
        (
            "d.jsonl",
            r#"{"conversations": [{"from": "human", "value": "x"}], "image": []}"#.to_owned(),
            "expected a turn from gpt",
        ),
        (
            "d.jsonl",
            r#"{"text_input": "x", "text_output": "y", "images": ["a.png"]}"#.to_owned(),
            "expected the images under \"image_input\"",
        ),
        ("d.parquet", "PAR0".to_owned(), "the parquet file cannot be read"),
    ] {
        let problem = problem(name, &text);
        assert!(problem.contains(said), "{text}: {problem}");
    }
    let nowhere = dataset::read(&fixture("nowhere.jsonl")).unwrap_err().to_string();
    assert!(nowhere.contains("the data file is missing"), "{nowhere}");
    assert!(dataset::read(&fixture("nowhere.parquet")).unwrap_err().to_string().contains("is missing"));
    assert!(dataset::read(&fixture("blink")).unwrap_err().to_string().contains("found a folder"));
    let (_dir, path) = file("d.jsonl", "");
    std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    assert!(dataset::read(&path).unwrap_err().to_string().contains("not UTF-8"));
}
