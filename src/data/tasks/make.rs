//! Makes a data set: JSONL and PNG, the same bytes for the same seed on any number of threads.

use crate::random::stream;
use std::path::{Path, PathBuf};

use image::RgbImage;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::super::dataset;
use super::super::draw::marks::Ink;
use super::super::grounding::Grounding;
use super::super::record::{ImageSource, Record, letters};
use super::places::{ground_options, ground_squares};
use super::{Example, Photos, Split, Task, World};
use crate::atomic;
use crate::error::{Error, Result};
use crate::progress::{Observer, Phase, Progress};

/// How many samples of each task go into each split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts(pub [usize; 3]);

impl Counts {
    /// Of `total`, a tenth each for validation and test.
    pub fn shared_out(total: usize) -> Self {
        let few = total / 10;
        Self([total - 2 * few, few, few])
    }
}

/// What is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct TasksOrder {
    /// Of which tasks.
    pub tasks: Vec<Task>,
    /// How many of each.
    pub counts: Counts,
    /// Decides everything.
    pub seed: u64,
    /// Pixels on a side of a square image.
    pub side: u32,
    /// How marks are drawn.
    pub ink: Ink,
    /// Write what is true of places of the images too?
    pub grounding: bool,
    /// Photographs, where the user gives some.
    pub images: Option<PathBuf>,
}

/// What was made.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenTasks {
    /// The data files, with how many samples each has.
    pub files: Vec<(PathBuf, usize)>,
}

/// Examples between two looks at the observer.
const CHUNK: usize = 64;

impl TasksOrder {
    /// The photographs of each split.
    fn photos(&self) -> Result<[Photos; 3]> {
        match &self.images {
            None => Ok([Photos::Scenes, Photos::Scenes, Photos::Scenes]),
            Some(folder) => {
                if let Some(task) = self.tasks.iter().find(|task| !task.takes_photos())
                    && self.tasks.len() == 1
                {
                    return Err(Error::Request(format!(
                        "--images: {} needs labels that photographs do not have; leave it out for drawn scenes",
                        task.name()
                    )));
                }
                Photos::share(folder, self.seed)
            }
        }
    }

    /// Examples `range` of a split of a task.
    pub(super) fn examples(
        &self,
        task: Task,
        split: Split,
        photos: &Photos,
        range: std::ops::Range<usize>,
    ) -> Result<Vec<(usize, Example)>> {
        let scenes = Photos::Scenes;
        let photos = if task.takes_photos() { photos } else { &scenes };
        let world = World { side: self.side, photos, split };
        let answers = self.answers(task, split);
        let one = |index: usize| {
            let place = [task as u64, world.split as u64, index as u64];
            let mut rng = stream(self.seed, &place);
            let mut example = task.example(&mut rng, answers[index], &world)?;
            if example.source.contains("scene") {
                let own = stream_name(self.seed, &place);
                example.source = example.source.replace("scene", &own);
            }
            Ok((index, example))
        };
        range.into_par_iter().map(one).collect()
    }

    /// Answers in the task's proportions, in an order that says nothing.
    fn answers(&self, task: Task, split: Split) -> Vec<usize> {
        let count = self.counts.0[split as usize];
        let kinds = task.answers();
        let mut rng = stream(self.seed, &[task as u64, split as u64, u64::MAX]);
        // Whole rounds of all answers, and for the rest a round that is shuffled itself.
        let mut answers: Vec<usize> =
            kinds.iter().copied().cycle().take(count / kinds.len() * kinds.len()).collect();
        let mut rest = kinds.to_vec();
        rest.shuffle(&mut rng);
        answers.extend(&rest[..count - answers.len()]);
        answers.shuffle(&mut rng);
        answers
    }
}

/// A scene's name: one for each stream.
fn stream_name(seed: u64, place: &[u64]) -> String {
    use rand::Rng;
    format!("scene {:016x}", stream(seed, place).next_u64())
}

/// Makes a data set in a folder: `train.jsonl`, `validation.jsonl` and `test.jsonl`, those of them that have samples,
/// and their images.
///
/// # Errors
/// A folder that holds something already, photographs that do not serve, a disk that is full, a stop.
pub fn make(order: &TasksOrder, folder: &Path, observer: &dyn Observer) -> Result<WrittenTasks> {
    let is_empty = match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => true,
        Err(e) => return Err(Error::io("look into the folder", folder, e)),
    };
    if !is_empty {
        return Err(Error::field(folder, "the folder to write to", "a new or empty one", "files in it"));
    }
    let all_photos = order.photos()?;
    let total = order.counts.0.iter().sum::<usize>() * order.tasks.len();
    let (mut done, mut files) = (0, Vec::new());
    for (split, photos) in Split::ALL.into_iter().zip(&all_photos) {
        let count = order.counts.0[split as usize];
        let mut records = Vec::new();
        for task in &order.tasks {
            for start in (0..count).step_by(CHUNK) {
                observer.progress(Progress { phase: Phase::Samples, done, total })?;
                let range = start..(start + CHUNK).min(count);
                let examples = order.examples(*task, split, photos, range)?;
                done += examples.len();
                let written: Result<Vec<Record>> = examples
                    .into_par_iter()
                    .map(|(index, example)| write(order, *task, split, index, example, folder))
                    .collect();
                records.extend(written?);
            }
        }
        if !records.is_empty() {
            let path = folder.join(format!("{}.jsonl", split.name()));
            let lines = dataset::write(&records, folder);
            // Last: images count once a data file names them.
            atomic::write(&path, |out| out.write_all(lines.as_bytes()))?;
            files.push((path, records.len()));
        }
    }
    Ok(WrittenTasks { files })
}

/// Writes an example's images and makes its record.
fn write(
    order: &TasksOrder,
    task: Task,
    split: Split,
    index: usize,
    example: Example,
    folder: &Path,
) -> Result<Record> {
    let id = format!("{}-{}-{index:06}", task.name(), split.name());
    let dir = folder.join("images").join(task.name()).join(split.name());
    std::fs::create_dir_all(&dir).map_err(|e| Error::io("make the folder", &dir, e))?;
    let mut grounding = Grounding::default();
    if order.grounding {
        grounding = example.grounding.clone();
        ground_squares(&mut grounding, &example.images);
        ground_options(&mut grounding, &example);
    }
    let mut images = Vec::new();
    for (i, image) in example.marked(order.ink).iter().enumerate() {
        let path = dir.join(format!("{index:06}-{}.png", i + 1));
        std::fs::write(&path, png(image)).map_err(|e| Error::io("write the image", &path, e))?;
        images.push(ImageSource::File(path));
    }
    Ok(Record {
        id,
        images,
        prompt: example.prompt,
        target: example.target,
        task: task.name().to_owned(),
        choices: letters(example.num_choices),
        options: Vec::new(),
        object_name: example.object_name.map(str::to_owned),
        marks: example.marks,
        source: Some(example.source),
        grounding,
    })
}

/// The picture as a PNG file.
fn png(image: &RgbImage) -> Vec<u8> {
    use image::ImageEncoder;
    use image::codecs::png::{CompressionType, FilterType, PngEncoder};
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive);
    encoder
        .write_image(image, image.width(), image.height(), image::ExtendedColorType::Rgb8)
        .expect("memory takes it");
    bytes
}
