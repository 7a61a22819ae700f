//! Checkpoints by their names on the Hub: a server of our own stands in for it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tempfile::TempDir;

use crate::common::fixture;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Serves the files of a folder as the repository `tiny/model`, and remembers what it was asked for.
struct Hub {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    fn of(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (folder, log) = (folder.clone(), log.clone());
                std::thread::spawn(move || answer(&stream.unwrap(), &folder, &log));
            }
        });
        Self { address, asked }
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

fn answer(stream: &TcpStream, folder: &Path, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
        let request = line.trim().to_owned();
        let mut header = String::new();
        while reader.read_line(&mut header).is_ok_and(|count| count > 2) {
            header.clear();
        }
        log.lock().unwrap().push(request.clone());
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap_or_default());
        let path = path.split('?').next().unwrap();
        let file = path.strip_prefix(&format!("/tiny/model/resolve/{COMMIT}/"));
        let body = if path.contains("/tree/") {
            Some(tree(folder))
        } else if path.starts_with("/api/models/tiny/model") {
            Some(json!({"id": "tiny/model", "modelId": "tiny/model", "sha": COMMIT}).to_string().into_bytes())
        } else {
            file.and_then(|name| std::fs::read(folder.join(name)).ok())
        };
        let mut out = stream;
        let (status, body) = body.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"{}\"\r\nX-Repo-Commit: {COMMIT}\r\n\r\n",
            body.len(),
            file.unwrap_or("none").replace(['.', '/'], "-")
        );
        out.write_all(head.as_bytes()).unwrap();
        if method == "GET" && out.write_all(&body).is_err() {
            return;
        }
        line.clear();
    }
}

fn tree(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        json!({"type": "file", "oid": name, "size": entry.metadata().unwrap().len(), "path": name})
    });
    serde_json::to_vec(&files.collect::<Vec<_>>()).unwrap()
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
