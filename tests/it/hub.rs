//! Checkpoints by their names on the Hub: a server of our own stands in for it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use livr_explorer::digest;
use serde_json::json;
use tempfile::TempDir;

use crate::common::fixture;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What goes wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    /// This answer in its place.
    Status(&'static str),
    /// The connection ends before the file does.
    Cut,
    /// Other bytes of the same length.
    Other,
    /// The tree lists a file under this name.
    Name(&'static str),
    /// The tree lists the files under this digest.
    Digest(&'static str),
}

/// Serves the files of a folder as the repository `tiny/model`, and remembers what it was asked for.
struct Hub {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
    fault: Arc<Mutex<Fault>>,
}

impl Hub {
    fn of(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, fault) = (asked.clone(), Arc::new(Mutex::new(Fault::Nothing)));
        let faulty = fault.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (folder, log, fault) = (folder.clone(), log.clone(), faulty.clone());
                std::thread::spawn(move || answer(&stream.unwrap(), &folder, &log, &fault));
            }
        });
        Self { address, asked, fault }
    }

    fn faulty(self, fault: Fault) -> Self {
        *self.fault.lock().unwrap() = fault;
        self
    }

    fn fetched(&self) -> usize {
        self.asked.lock().unwrap().iter().filter(|line| line.starts_with("GET /tiny/model/resolve/")).count()
    }

    fn livr(&self, home: &Path, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_livr"))
            .args(args)
            .env("HF_ENDPOINT", &self.address)
            .env("HF_HOME", home)
            .env_remove("HF_HUB_CACHE")
            .env_remove("HF_HUB_OFFLINE")
            .output()
            .unwrap()
    }
}

fn answer(stream: &TcpStream, folder: &Path, log: &Mutex<Vec<String>>, fault: &Mutex<Fault>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
        let request = line.trim().to_owned();
        let (mut header, mut start) = (String::new(), 0);
        while reader.read_line(&mut header).is_ok_and(|count| count > 2) {
            if let Some(range) = header.to_lowercase().strip_prefix("range: bytes=") {
                start = range.trim().trim_end_matches('-').parse().unwrap();
            }
            header.clear();
        }
        let fault = *fault.lock().unwrap();
        log.lock().unwrap().push(request.clone());
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap_or_default());
        let path = path.split('?').next().unwrap();
        let file = path.strip_prefix(&format!("/tiny/model/resolve/{COMMIT}/"));
        let body = if path.contains("/tree/") {
            Some(tree(folder, fault))
        } else if path.starts_with("/api/models/tiny/model") {
            Some(json!({"id": "tiny/model", "modelId": "tiny/model", "sha": COMMIT}).to_string().into_bytes())
        } else {
            file.and_then(|name| std::fs::read(folder.join(name)).ok())
        };
        let mut out = stream;
        let (mut status, mut body) = body.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
        if file.is_some() && start > 0 {
            (status, body) = ("206 Partial Content", body.split_off(start));
        }
        let is_weights = file == Some("model.safetensors");
        match fault {
            Fault::Status(other) if file.is_some() && method == "GET" => {
                (status, body) = (other, b"<Error>AccessDenied</Error>".to_vec());
            }
            Fault::Other if is_weights => body[500] ^= 1,
            _ => {}
        }
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"{}\"\r\nX-Repo-Commit: {COMMIT}\r\n\r\n",
            body.len(),
            file.unwrap_or("none").replace(['.', '/'], "-")
        );
        out.write_all(head.as_bytes()).unwrap();
        let sent = if fault == Fault::Cut && is_weights { &body[..body.len() / 2] } else { &body[..] };
        if method == "GET" && (out.write_all(sent).is_err() || sent.len() < body.len()) {
            return;
        }
        line.clear();
    }
}

fn tree(folder: &Path, fault: Fault) -> Vec<u8> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let size = entry.metadata().unwrap().len();
        let oid = if let Fault::Digest(digest) = fault { digest.to_owned() } else { name.clone() };
        let mut file = json!({"type": "file", "oid": oid, "size": size, "path": name});
        if name == "model.safetensors" && !matches!(fault, Fault::Digest(_)) {
            let digest = digest::of_bytes(&std::fs::read(entry.path()).unwrap());
            file["lfs"] = json!({"oid": digest, "size": size, "pointerSize": 134});
        }
        file
    });
    let mut files: Vec<_> = files.collect();
    if let Fault::Name(name) = fault {
        files.push(json!({"type": "file", "oid": "abc", "size": 3, "path": name}));
    }
    files.push(json!({"type": "directory", "oid": "d", "size": 0, "path": "onnx"}));
    files.push(json!({"type": "file", "oid": "e", "size": 5, "path": "onnx/model.safetensors"}));
    serde_json::to_vec(&files).unwrap()
}

#[test]
fn a_file_that_came_otherwise_is_no_file() {
    for (fault, said) in [
        (Fault::Status("403 Forbidden"), "answers 403"),
        (Fault::Status("503 Service Unavailable"), "answers 503"),
        (Fault::Cut, "the connection ended after"),
        (Fault::Other, "as the Hub lists it"),
    ] {
        let (hub, home) = (Hub::of(fixture("tiny/model")).faulty(fault), TempDir::new().unwrap());
        let output = hub.livr(home.path(), &["download", "tiny/model"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("tiny/model cannot be downloaded"), "{text}");
        let cut = fault == Fault::Cut;
        assert!(text.contains(said) || cut, "{fault:?}: {text}");
        // The hub is well again: all of it comes, and what there was of a file that was cut is gone on with.
        let hub = hub.faulty(Fault::Nothing);
        let output = hub.livr(home.path(), &["download", "tiny/model"]);
        assert!(output.status.success(), "{fault:?}: {}", String::from_utf8_lossy(&output.stderr));
        let folder = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        for name in ["config.json", "model.safetensors"] {
            let [found, expected] =
                [&folder, &fixture("tiny/model")].map(|dir| std::fs::read(dir.join(name)).unwrap());
            assert!(found == expected, "{fault:?}: {name}");
        }
    }
}

#[test]
fn a_hub_cannot_write_outside_the_cache() {
    let above = TempDir::new().unwrap();
    let home = above.path().join("a/b/c/d/e");
    for fault in [
        Fault::Name("../../../../../owned-by-hub.json"),
        Fault::Name("/tmp/owned-by-hub.json"),
        Fault::Name("..\\owned-by-hub.json"),
        Fault::Digest("../../../../../../etag-owned"),
        Fault::Digest("/tmp/etag-owned"),
        Fault::Digest(""),
    ] {
        let hub = Hub::of(fixture("tiny/model")).faulty(fault);
        let output = hub.livr(&home, &["download", "tiny/model"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("the Hub lists"), "{fault:?}: {text}");
        assert_eq!(hub.fetched(), 0, "{fault:?}");
    }
    assert_eq!(std::fs::read_dir(above.path()).unwrap().count(), usize::from(home.exists()));
}

#[test]
fn a_repository_is_fetched_once_and_opened_by_its_name() {
    let (hub, home) = (Hub::of(fixture("tiny/model")), TempDir::new().unwrap());
    let first = hub.livr(home.path(), &["download", "tiny/model"]);
    let said = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(first.status.success(), "{said} {:?}", hub.asked.lock().unwrap());
    let folder = PathBuf::from(String::from_utf8(first.stdout).unwrap().trim());
    assert!(folder.ends_with(format!("models--tiny--model/snapshots/{COMMIT}")));
    let read = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
    assert_eq!(read(&folder), read(&fixture("tiny/model")));
    let count = hub.fetched();
    assert!(count >= 4, "{count}");
    assert!(hub.livr(home.path(), &["download", "tiny/model"]).status.success());
    assert_eq!(hub.fetched(), count, "what is there is not fetched again");
    let check = hub.livr(home.path(), &["check", "--model", "tiny/model"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    // Into the program, under the name of the repository.
    let args = ["ask", "--model", "tiny/model", "--prompt", "?", "--max-new-tokens", "1", "--json"];
    let found: serde_json::Value = serde_json::from_slice(&hub.livr(home.path(), &args).stdout).unwrap();
    assert_eq!(found["model"], "tiny/model");
}

#[test]
fn what_cannot_be_fetched_is_a_sentence() {
    let (hub, home) = (Hub::of(fixture("tiny/model")), TempDir::new().unwrap());
    let said = |output: &Output| {
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).trim().to_owned()
    };
    let other = said(&hub.livr(home.path(), &["download", "tiny/other"]));
    assert!(other.contains("tiny/other cannot be downloaded") && other.lines().count() == 1, "{other}");
    let unknown = said(&hub.livr(home.path(), &["ask", "--model", "tiny/other", "--prompt", "?"]));
    assert!(unknown.contains("neither a folder nor in the Hugging Face cache"), "{unknown}");
    let offline = Command::new(env!("CARGO_BIN_EXE_livr"))
        .args(["download", "tiny/model"])
        .env("HF_ENDPOINT", &hub.address)
        .env("HF_HOME", home.path())
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap();
    assert!(said(&offline).contains("HF_HUB_OFFLINE is set"), "{}", said(&offline));
    assert_eq!(hub.fetched(), 0);
}
