//! The nine tasks: the same bytes for the same seed, disjoint splits, and no answer without looking at both the
//! question and what it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use livr_explorer::data::dataset;
use livr_explorer::data::draw::marks::Ink;
use livr_explorer::data::picture::Picture;
use livr_explorer::data::record::{ImageSource, Record};
use livr_explorer::data::tasks::{Counts, Split, Task, TasksOrder, make};
use livr_explorer::progress::Unobserved;
use tempfile::TempDir;

use crate::common::fixture;

fn order(tasks: &[Task], counts: [usize; 3], seed: u64) -> TasksOrder {
    TasksOrder {
        tasks: tasks.to_vec(),
        counts: Counts(counts),
        seed,
        side: 56,
        ink: Ink::Red,
        grounding: false,
        images: None,
    }
}

fn made(order: &TasksOrder) -> (TempDir, Vec<Record>) {
    let dir = tempfile::tempdir().unwrap();
    let made = make(order, dir.path(), &Unobserved).unwrap();
    let records = made.files.iter().flat_map(|(path, _)| dataset::read(path).unwrap()).collect();
    (dir, records)
}

/// Every file under a folder with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.insert(path.strip_prefix(dir).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    all
}

#[test]
fn the_same_seed_makes_the_same_bytes_on_any_number_of_threads() {
    let order = order(&Task::ALL, [5, 2, 2], 7);
    let with_threads = |threads: usize, order: &TasksOrder| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (dir, _) = pool.install(|| made(order));
        files(dir.path())
    };
    let one = with_threads(1, &order);
    assert!(one.len() > 9 * 9);
    assert_eq!(one, with_threads(3, &order));
    let other = with_threads(2, &TasksOrder { seed: 8, ..order });
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    let differ = one.iter().filter(|(name, bytes)| other[*name] != **bytes).count();
    assert!(differ > one.len() * 9 / 10, "{differ} of {}", one.len());
}

#[test]
fn samples_are_as_the_data_file_says() {
    let (dir, records) = made(&order(&Task::ALL, [4, 1, 1], 3));
    assert_eq!(records.len(), 9 * 6);
    for record in &records {
        let task: Task = record.task.parse().unwrap();
        let images = match task {
            Task::Counting | Task::ObjectLocalization | Task::RelativeReflectance => 1,
            Task::Jigsaw | Task::ArtStyle | Task::VisualSimilarity => 3,
            _ => 2,
        };
        assert_eq!(record.images.len(), images, "{task:?}");
        let pictures: Vec<Picture> = record.images.iter().map(|image| image.read().unwrap()).collect();
        for mark in &record.marks {
            let (w, h) = pictures[mark.image].size();
            let inside =
                mark.at.chunks(2).all(|p| p[0] >= 0.0 && p[0] <= w as f32 && p[1] >= 0.0 && p[1] <= h as f32);
            assert!(inside, "{record:?}");
        }
        match task {
            Task::Counting => {
                let count: usize = record.target.parse().unwrap();
                assert!((2..=10).contains(&count) && record.choices.is_empty());
                assert!(record.object_name.is_some());
            }
            Task::RelativeReflectance => assert_eq!(record.choices.len(), 3),
            _ => assert!(record.choices.len() == 2 || record.choices.len() == 4),
        }
        if !record.choices.is_empty() {
            assert!(record.choices.contains(&record.target));
            assert!(record.prompt.contains(&format!("({})", record.target)));
        }
    }
    drop(dir);
}

#[test]
fn answers_are_balanced() {
    for task in Task::ALL {
        let (_dir, records) = made(&order(&[task], [72, 0, 0], 11));
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for record in &records {
            *counts.entry(&record.target).or_default() += 1;
        }
        let expected: &[usize] = match task {
            Task::Counting => &[8; 9],
            Task::RelativeReflectance => &[27, 27, 18],
            Task::Jigsaw | Task::ObjectLocalization | Task::ArtStyle | Task::VisualSimilarity => &[36, 36],
            _ => &[18; 4],
        };
        assert_eq!(counts.values().sum::<usize>(), 72);
        assert_eq!(counts.len(), expected.len(), "{task:?}");
        let mut found: Vec<usize> = counts.into_values().collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(found, expected, "{task:?}");
    }
}

#[test]
fn splits_share_no_scene_and_no_photograph() {
    let sources = |records: &[Record], split: Split| -> BTreeSet<String> {
        let of = |record: &&Record| record.id.contains(&format!("-{}-", split.name()));
        records
            .iter()
            .filter(of)
            .flat_map(|r| r.source.as_ref().unwrap().split(", ").map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    let apart = |records: &[Record]| {
        let [train, validation, test] = Split::ALL.map(|split| sources(records, split));
        assert!(!train.is_empty() && !validation.is_empty() && !test.is_empty());
        assert!(train.is_disjoint(&validation) && train.is_disjoint(&test) && validation.is_disjoint(&test));
    };
    apart(&made(&order(&Task::ALL, [10, 10, 10], 1)).1);

    let photos = tempfile::tempdir().unwrap();
    for i in 0..12u8 {
        let picture = image::RgbImage::from_fn(90, 70 + u32::from(i), |x, y| {
            image::Rgb([i * 20, x as u8 * 2, y as u8 * 3])
        });
        picture.save(photos.path().join(format!("photo {i}.png"))).unwrap();
    }
    let with_photos =
        TasksOrder { images: Some(photos.path().to_owned()), ..order(&Task::ALL, [10, 10, 10], 1) };
    let (_dir, records) = made(&with_photos);
    let of_photos: Vec<Record> =
        records.into_iter().filter(|r| r.task == "jigsaw" || r.task == "art_style").collect();
    assert!(of_photos.iter().all(|record| record.source.as_ref().unwrap().starts_with("photo ")));
    apart(&of_photos);
}

/// Accuracy of a classifier that learns from one half and is asked about the other, against what guessing gets.
fn at_chance(what: &str, task: Task, correct: usize, of: usize) {
    let p = match task {
        Task::Counting => 1.0 / 9.0,
        Task::RelativeReflectance => 0.375,
        Task::Jigsaw | Task::ObjectLocalization | Task::ArtStyle | Task::VisualSimilarity => 0.5,
        _ => 0.25,
    };
    let (share, error) = (correct as f64 / of as f64, (p * (1.0 - p) / of as f64).sqrt());
    assert!(
        share < p + 3.5 * error,
        "{what} answers {share:.2} of {} where guessing answers {p:.2}",
        task.name()
    );
}

/// Naive Bayes over words and, for what a file name could say, over the ends of ids and paths.
fn from_text(records: &[Record]) -> usize {
    let words = |record: &Record| -> BTreeSet<String> {
        let mut words: BTreeSet<String> = record.prompt.split_whitespace().map(str::to_owned).collect();
        words.insert(format!("length {}", record.prompt.len()));
        let number: usize = record.id.rsplit('-').next().unwrap().parse().unwrap();
        for modulus in [2, 3, 4, 8, 9] {
            words.insert(format!("id {} of {modulus}", number % modulus));
        }
        if let ImageSource::File(path) = &record.images[0] {
            words.insert(path.file_name().unwrap().to_string_lossy().into_owned());
        }
        words.extend(record.object_name.clone());
        words
    };
    let (learn, ask) = records.split_at(records.len() / 2);
    let mut seen: BTreeMap<(String, String), f64> = BTreeMap::new();
    let mut answers: BTreeMap<String, f64> = BTreeMap::new();
    for record in learn {
        *answers.entry(record.target.clone()).or_default() += 1.0;
        for word in words(record) {
            *seen.entry((record.target.clone(), word)).or_default() += 1.0;
        }
    }
    let guess = |record: &Record| {
        let words = words(record);
        let score = |answer: &String, count: f64| -> f64 {
            let share = |word: &String| {
                let times = seen.get(&(answer.clone(), word.clone())).copied().unwrap_or(0.0);
                ((times + 0.5) / (count + 1.0)).ln()
            };
            count.ln() + words.iter().map(share).sum::<f64>()
        };
        answers.iter().max_by(|a, b| score(a.0, *a.1).total_cmp(&score(b.0, *b.1))).unwrap().0.clone()
    };
    ask.iter().filter(|record| guess(record) == record.target).count()
}

/// What is seen at a glance: small pictures, how they vary, the size of the files, where the marks are.
fn glance(record: &Record) -> Vec<f64> {
    let mut features = vec![1.0];
    for image in &record.images {
        let picture = image.read().unwrap().pixels;
        features.extend([picture.width(), picture.height()].map(f64::from));
        features.push(image.bytes().unwrap().len() as f64);
        let small = image::imageops::thumbnail(&picture, 3, 3);
        features.extend(small.as_raw().iter().map(|v| f64::from(*v)));
        let values: Vec<f64> = picture.as_raw().iter().map(|v| f64::from(*v)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        features
            .push((values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / values.len() as f64).sqrt());
        let edges: f64 = values.windows(4).map(|w| (w[3] - w[0]).abs()).sum();
        features.push(edges / values.len() as f64);
    }
    for mark in &record.marks {
        features.extend(mark.at.iter().map(|v| f64::from(*v)));
        if let [l, t, r, b] = mark.at[..] {
            features.push(f64::from((r - l) * (b - t)));
        }
    }
    features
}

/// Ridge regression to one column for each answer.
fn from_a_glance(records: &[Record]) -> usize {
    let mut features: Vec<Vec<f64>> = records.iter().map(glance).collect();
    let width = features[0].len();
    for i in 1..width {
        let column: Vec<f64> = features.iter().map(|row| row[i]).collect();
        let mean = column.iter().sum::<f64>() / column.len() as f64;
        let deviation =
            (column.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / column.len() as f64).sqrt();
        for row in &mut features {
            row[i] = (row[i] - mean) / deviation.max(1e-9);
        }
    }
    let answers: BTreeSet<&str> = records.iter().map(|record| record.target.as_str()).collect();
    let answers: Vec<&str> = answers.into_iter().collect();
    let half = records.len() / 2;
    let columns = width + answers.len();
    let mut system = vec![vec![0.0; columns]; width];
    for (row, record) in features.iter().zip(records).take(half) {
        for i in 0..width {
            for j in 0..width {
                system[i][j] += row[i] * row[j];
            }
            for (j, answer) in answers.iter().enumerate() {
                system[i][width + j] += if record.target == *answer { row[i] } else { 0.0 };
            }
        }
    }
    for (i, row) in system.iter_mut().enumerate() {
        row[i] += half as f64 * 0.1;
    }
    for i in 0..width {
        let pivot = system[i].clone();
        for row in (0..width).filter(|row| *row != i) {
            let factor = system[row][i] / pivot[i];
            system[row].iter_mut().zip(&pivot).for_each(|(v, p)| *v -= factor * p);
        }
    }
    let guess = |row: &[f64]| {
        let score = |j: usize| (0..width).map(|i| row[i] * system[i][width + j] / system[i][i]).sum::<f64>();
        (0..answers.len()).max_by(|a, b| score(*a).total_cmp(&score(*b))).unwrap()
    };
    (half..records.len()).filter(|i| answers[guess(&features[*i])] == records[*i].target).count()
}

#[test]
fn neither_the_text_nor_a_glance_at_the_images_gives_the_answer_away() {
    const COUNT: usize = 720;
    for task in Task::ALL {
        let (_dir, records) = made(&order(&[task], [COUNT, 0, 0], 5));
        at_chance("the text", task, from_text(&records), COUNT / 2);
        at_chance("a glance", task, from_a_glance(&records), COUNT / 2);
    }
}

#[test]
fn the_classifiers_would_see_a_cue() {
    // Boxes of which the right one is always the first drawn larger: both baselines must find such things.
    let (_dir, mut records) = made(&order(&[Task::ObjectLocalization], [400, 0, 0], 5));
    for record in &mut records {
        let area = |i: usize| {
            (record.marks[i].at[2] - record.marks[i].at[0]) * (record.marks[i].at[3] - record.marks[i].at[1])
        };
        record.target = if area(0) > area(1) { "A".to_owned() } else { "B".to_owned() };
    }
    assert!(from_a_glance(&records) > 150);
    for record in &mut records {
        record.prompt.push_str(if record.target == "A" { " first" } else { " second" });
    }
    assert!(from_text(&records) > 190);
}

#[test]
fn what_cannot_be_made_is_said_in_a_sentence() {
    let problem = |order: &TasksOrder, dir: &Path| make(order, dir, &Unobserved).unwrap_err().to_string();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine.txt"), "dear").unwrap();
    let counting = order(&[Task::Counting], [1, 0, 0], 1);
    assert!(problem(&counting, dir.path()).contains("expected a new or empty one, found files in it"));
    assert_eq!(std::fs::read(dir.path().join("mine.txt")).unwrap(), b"dear");

    let empty = tempfile::tempdir().unwrap();
    let photos = tempfile::tempdir().unwrap();
    let with =
        |task: Task| TasksOrder { images: Some(photos.path().to_owned()), ..order(&[task], [1, 1, 1], 1) };
    assert!(problem(&with(Task::Counting), empty.path()).contains("counting needs labels"));
    assert!(problem(&with(Task::Jigsaw), empty.path()).contains("expected at least 3 photographs"));
    for name in ["a.png", "b.png", "c.png"] {
        std::fs::copy(fixture("pictures").join("chroma420.jpg"), photos.path().join(name)).unwrap();
    }
    std::fs::write(photos.path().join("d.jpg"), "no image").unwrap();
    assert!(problem(&with(Task::Jigsaw), empty.path()).contains("d.jpg"));
    let missing = TasksOrder { images: Some(photos.path().join("nowhere")), ..with(Task::Jigsaw) };
    assert!(problem(&missing, empty.path()).contains("the folder of images is missing"));
    assert!(files(empty.path()).is_empty());
}
