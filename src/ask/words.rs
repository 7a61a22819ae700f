//! The words of a condition, told once: what its options are called on the command line and in study files, how a value is
//! written and read, and what people call what changed. Options, the copied command, the line of a run, the list of changes
//! and the name of a cell all come from this table, and each can be read back.

use super::condition::Condition;
use super::decoding::{Decoding, PixelBudget, Published};
use super::mask::MaskKind;

/// One thing that a condition says.
pub struct Word {
    /// As an option without its dashes, and as a key of a study file: `max-pixels`.
    pub option: &'static str,
    /// What stands for its value in a help text.
    pub value_name: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// What people call it when it changed: "the mask".
    pub changed: &'static str,
    /// All values there are, where they can be listed.
    pub values: &'static [&'static str],
    /// May it be said more than once?
    pub repeats: bool,
    /// What a condition says, as it is written.
    pub written: fn(&Condition) -> Vec<String>,
    /// Puts a written value into a condition, or says what was expected.
    pub read: fn(&mut Condition, &str) -> Result<(), String>,
}

/// All of them, in the order they are said.
pub const WORDS: [Word; 13] = [
    Word {
        option: "mask",
        value_name: "MASK",
        help: "Attention mask",
        changed: "the mask",
        values: &MaskKind::NAMES,
        repeats: false,
        written: |c| vec![c.mask.name().to_owned()],
        read: |c, text| text.parse().map(|mask| c.mask = mask),
    },
    Word {
        option: "latents",
        value_name: "LATENTS",
        help: "auto, off or a number of latents",
        changed: "the latents",
        values: &[],
        repeats: false,
        written: |c| vec![c.latents.to_string()],
        read: |c, text| text.parse().map(|latents| c.latents = latents),
    },
    Word {
        option: "max-new-tokens",
        value_name: "N",
        help: "Stop after this many generated tokens",
        changed: DECODING,
        values: &[],
        repeats: false,
        written: |c| vec![c.decoding.max_new_tokens.to_string()],
        read: |c, text| match text.parse::<u32>() {
            Ok(n) if n > 0 => {
                c.decoding.max_new_tokens = n as usize;
                Ok(())
            }
            _ => Err(format!("expected a number from 1, found {text}")),
        },
    },
    Word {
        option: "temperature",
        value_name: "T",
        help: "0 takes the most likely token, above it samples",
        changed: DECODING,
        values: &[],
        repeats: false,
        written: |c| vec![c.decoding.temperature.to_string()],
        read: |c, text| match text.parse::<f32>() {
            Ok(value) if value.is_finite() && value >= 0.0 => {
                c.decoding.temperature = value;
                Ok(())
            }
            _ => Err(format!("expected a number from 0, found {text}")),
        },
    },
    Word {
        option: "top-p",
        value_name: "P",
        help: "Sample among the most likely tokens that add up to this probability: auto (as the checkpoint publishes), \
               off or a number",
        changed: DECODING,
        values: &[],
        repeats: false,
        written: |c| vec![c.decoding.top_p.to_string()],
        read: |c, text| match text.parse()? {
            Published::Value(p) if !(p > 0.0 && p <= 1.0) => {
                Err(format!("expected auto, off or a number above 0, at most 1, found {text}"))
            }
            top_p => {
                c.decoding.top_p = top_p;
                Ok(())
            }
        },
    },
    Word {
        option: "top-k",
        value_name: "K",
        help: "Sample among so many of the most likely tokens: auto (as the checkpoint publishes), off or a number",
        changed: DECODING,
        values: &[],
        repeats: false,
        written: |c| vec![c.decoding.top_k.to_string()],
        read: |c, text| match text.parse()? {
            Published::Value(0) => Err("expected auto, off or a number from 1, found 0".to_owned()),
            top_k => {
                c.decoding.top_k = top_k;
                Ok(())
            }
        },
    },
    Word {
        option: "repetition-penalty",
        value_name: "X",
        help: "Make tokens already in the sequence less likely: auto (as the checkpoint publishes), off or a number",
        changed: DECODING,
        values: &[],
        repeats: false,
        written: |c| vec![c.decoding.repetition_penalty.to_string()],
        read: |c, text| match text.parse()? {
            Published::Value(x) if !(x > 0.0 && f32::is_finite(x)) => {
                Err(format!("expected auto, off or a number above 0, found {text}"))
            }
            penalty => {
                c.decoding.repetition_penalty = penalty;
                Ok(())
            }
        },
    },
    Word {
        option: "max-pixels",
        value_name: "N",
        help: "Most pixels of an image: auto, checkpoint or a number. On a CPU auto reads images of a large model smaller",
        changed: "the size of the images",
        values: &[],
        repeats: false,
        written: |c| vec![c.max_pixels.to_string()],
        read: |c, text| text.parse::<PixelBudget>().map(|budget| c.max_pixels = budget),
    },
    Word {
        option: "seed",
        value_name: "SEED",
        help: "Seed of the sampling, and of what --disturb leaves to chance",
        changed: DECODING,
        values: &[],
        repeats: false,
        written: |c| vec![c.decoding.seed.to_string()],
        read: |c, text| {
            let seed =
                text.parse().map_err(|e| format!("expected a whole number from 0, found {text} ({e})"));
            seed.map(|seed| c.decoding.seed = seed)
        },
    },
    Word {
        option: "disturb",
        value_name: "HOW",
        help: "Make the sample harder first: occlusion=SHARE, noise=DEVIATION, rotation=DEGREES, no-images, no-question",
        changed: "what is done to the sample",
        values: &[],
        repeats: false,
        written: |c| c.disturbance.iter().map(ToString::to_string).collect(),
        read: |c, text| text.parse().map(|disturbance| c.disturbance = Some(disturbance)),
    },
    Word {
        option: "do",
        value_name: "STATEMENT",
        help: "Change the run, as in \"block latents->image @8-12\" or \"latents=zero@after-4\"; repeatable, in this order",
        changed: "the edits",
        values: &[],
        repeats: true,
        written: |c| c.edits.iter().map(ToString::to_string).collect(),
        read: |c, text| text.parse().map(|edit| c.edits.push(edit)),
    },
    Word {
        option: "donor",
        value_name: "FILE",
        help: "File of all --do that name none: a donor's states (--record of another run), means, vectors or noise",
        changed: "the edits",
        values: &[],
        repeats: false,
        written: |c| c.donor.iter().map(|path| path.display().to_string()).collect(),
        read: |c, text| {
            c.donor = (!text.is_empty()).then(|| std::path::absolute(text).unwrap_or_else(|_| text.into()));
            Ok(())
        },
    },
    Word {
        option: "sham",
        value_name: "SHAM",
        help: "yes does each --do with what was there: the answer is that without it, to the bit",
        changed: "the edits",
        values: &["no", "yes"],
        repeats: false,
        written: |c| vec![if c.sham { "yes" } else { "no" }.to_owned()],
        read: |c, text| match text {
            "no" | "yes" => {
                c.sham = text == "yes";
                Ok(())
            }
            _ => Err(format!("expected no or yes, found {text}")),
        },
    },
];

const DECODING: &str = "how the answer is made";

/// The word of an option.
pub fn word(option: &str) -> Option<&'static Word> {
    WORDS.iter().find(|word| word.option == option)
}

impl Condition {
    /// What it says that `usual` does not, each as option and value.
    pub fn said(&self, usual: &Self) -> Vec<(&'static str, String)> {
        let of = |word: &'static Word| {
            let (own, usual) = ((word.written)(self), (word.written)(usual));
            let own = if own == usual { Vec::new() } else { own };
            own.into_iter().map(|value| (word.option, value))
        };
        WORDS.iter().flat_map(of).collect()
    }

    /// The options that make it of `usual`: `["--mask", "bottleneck"]`.
    pub fn options(&self, usual: &Self) -> Vec<String> {
        self.said(usual).into_iter().flat_map(|(option, value)| [format!("--{option}"), value]).collect()
    }

    /// `usual` with what an option says.
    ///
    /// # Errors
    /// An option that there is not, a value it cannot have.
    pub fn with_said(mut self, option: &str, value: &str) -> Result<Self, String> {
        let Some(word) = word(option) else {
            let options: Vec<&str> = WORDS.iter().map(|word| word.option).collect();
            return Err(format!("expected one of {}, found {option}", options.join(", ")));
        };
        (word.read)(&mut self, value).map_err(|problem| format!("{option}: {problem}"))?;
        Ok(self)
    }

    /// The same with what options say.
    ///
    /// # Errors
    /// As [`Self::with_said`]; an option twice that may be said once.
    pub fn with_all<'a>(self, said: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut options: Vec<&str> = Vec::new();
        let mut condition = self;
        for (option, value) in said {
            let repeats = word(option).is_some_and(|word| word.repeats);
            if !repeats && options.contains(&option) {
                return Err(format!("{option}: expected one value, found more than one"));
            }
            options.push(option);
            condition = condition.with_said(option, value)?;
        }
        Ok(condition)
    }

    /// What of another it no longer says, in words, each once.
    pub fn changes_since(&self, then: &Self) -> Vec<&'static str> {
        let mut changes: Vec<&str> = Vec::new();
        for word in &WORDS {
            if (word.written)(self) != (word.written)(then) && !changes.contains(&word.changed) {
                changes.push(word.changed);
            }
        }
        changes
    }

    /// The mask by its name, and what edits change.
    pub fn looks(&self) -> String {
        let edits = self.edits.iter().map(ToString::to_string);
        std::iter::once(self.mask.label().to_owned()).chain(edits).collect::<Vec<_>>().join(", ")
    }

    /// What the list of runs says of it, where a run had this many latents: `Standard · K = 16`, then what is out of the
    /// ordinary.
    pub fn line(&self, num_latents: usize) -> String {
        let latents = match num_latents {
            0 => "no latents".to_owned(),
            k => format!("K = {k}"),
        };
        let disturbance = self.disturbance.iter().map(ToString::to_string);
        let edits = self.edits.iter().map(ToString::to_string);
        let all = [self.mask.label().to_owned(), latents].into_iter().chain(disturbance).chain(edits);
        all.collect::<Vec<_>>().join(" · ")
    }
}

/// How a command asks where no option says otherwise.
pub fn usual_of_ask() -> Condition {
    Condition { decoding: Decoding::default(), ..Condition::default() }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rand::RngExt as _;

    use super::*;
    use crate::ask::LatentChoice;
    use crate::random::{Stream, stream};

    const STATEMENTS: [&str; 6] = [
        "block latents->image @8-12",
        "allow tail[0-2]+last->image#1[3]",
        "latents[0,2]=zero@after-4..",
        "latents=donor:\"it's, \\\"quoted\\\" @home.st\"@embedding",
        "head 1.2,0.3 x -0.5 of readers",
        "latents=truncate:3",
    ];
    const DISTURBANCES: [&str; 5] =
        ["occlusion=0.25", "noise=0.1", "rotation=20", "no-images", "no-question"];

    fn published<T>(rng: &mut Stream, value: T) -> Published<T> {
        match rng.random_range(0..3) {
            0 => Published::Auto,
            1 => Published::Off,
            _ => Published::Value(value),
        }
    }

    /// Any condition whatever.
    fn condition(rng: &mut Stream) -> Condition {
        let decoding = Decoding {
            max_new_tokens: rng.random_range(1..=u32::MAX) as usize,
            temperature: if rng.random_bool(0.5) {
                0.0
            } else {
                f32::from_bits(rng.random_range(1..0x7f80_0000))
            },
            top_p: {
                let p = 1.0 - rng.random::<f32>();
                published(rng, p)
            },
            top_k: {
                let k = rng.random_range(1..usize::MAX);
                published(rng, k)
            },
            repetition_penalty: {
                let x = f32::from_bits(rng.random_range(1..0x7f80_0000));
                published(rng, x)
            },
            seed: rng.random(),
        };
        let statement = |rng: &mut Stream| STATEMENTS[rng.random_range(0..STATEMENTS.len())].parse().unwrap();
        Condition {
            mask: MaskKind::ALL[rng.random_range(0..MaskKind::ALL.len())],
            latents: match rng.random_range(0..3) {
                0 => LatentChoice::Auto,
                1 => LatentChoice::Off,
                _ => LatentChoice::Count(rng.random_range(1..=crate::ask::MAX_LATENTS)),
            },
            max_pixels: match rng.random_range(0..3) {
                0 => PixelBudget::Auto,
                1 => PixelBudget::Checkpoint,
                _ => PixelBudget::Pixels(rng.random_range(1..usize::MAX)),
            },
            decoding: if rng.random_bool(0.5) { decoding } else { Decoding::of_studies() },
            disturbance: rng
                .random_bool(0.5)
                .then(|| DISTURBANCES[rng.random_range(0..DISTURBANCES.len())].parse().unwrap()),
            edits: (0..rng.random_range(0..4)).map(|_| statement(rng)).collect(),
            sham: rng.random_range(0..2) == 1,
            donor: [None, Some(PathBuf::from("/d/own donor.safetensors"))][rng.random_range(0..2)].clone(),
        }
    }

    #[test]
    fn every_condition_goes_round() {
        for i in 0..2000 {
            let mut rng = stream(7, &[i]);
            let condition = condition(&mut rng);
            for usual in [usual_of_ask(), Condition::of_studies()] {
                let options = condition.options(&usual);
                let again = options.chunks(2).try_fold(usual.clone(), |again, said| {
                    again.with_said(said[0].strip_prefix("--").unwrap(), &said[1])
                });
                assert_eq!(again.as_ref(), Ok(&condition), "{options:?}");
                let name = condition.name(&usual);
                assert_eq!(Condition::named(&name, &usual).as_ref(), Ok(&condition), "{name}");
                assert_eq!(condition.changes_since(&usual).is_empty(), condition == usual);
            }
            let json = serde_json::to_string(&condition).unwrap();
            assert_eq!(serde_json::from_str::<Condition>(&json).unwrap(), condition, "{json}");
        }
    }

    #[test]
    fn conditions_are_named_as_people_name_them() {
        let usual = Condition::of_studies();
        let names: Vec<String> = Condition::battery(&usual).iter().map(|own| own.name(&usual)).collect();
        assert_eq!(names, ["normal", "no-latents", "bottleneck", "bottleneck-no-latents"]);
        let disturbed = Condition { disturbance: "noise=0.1".parse().ok(), ..usual.clone() };
        assert_eq!(disturbed.name(&usual), "noise=0.1");
        let edited = Condition { edits: vec!["block latents->image @1-".parse().unwrap()], ..usual.clone() };
        assert_eq!(edited.name(&usual), "'do=block latents->image @1-'");
        assert_eq!(edited.line(4), "Standard · K = 4 · block latents->image @1-");
        assert_eq!(edited.masked(MaskKind::Bottleneck).changes_since(&usual), ["the mask", "the edits"]);
        for name in ["", "mask=upside-down", "loud", "latents=1000", "'do=block", "do=nothing"] {
            assert!(Condition::named(name, &usual).is_err(), "{name}");
        }
    }

    #[test]
    fn conditions_of_earlier_versions_are_read() {
        let old = r#"{"mask":"bottleneck","latents":{"count":4},"max_pixels":"auto",
            "decoding":{"max_new_tokens":8,"temperature":0.0,"top_p":"auto","top_k":"auto","repetition_penalty":"off","seed":42},
            "capture":{"attention":"full","hidden":null,"logits":"nothing","pixels":true}}"#;
        let read: Condition = serde_json::from_str(old).unwrap();
        assert_eq!((read.mask, read.latents), (MaskKind::Bottleneck, LatentChoice::Count(4)));
        assert!(read.edits.is_empty() && read.disturbance.is_none());
        let wrong = r#"{"edits":[{"do":"block","from":[{"group":"latents","index":[2,1]}],"to":[{"group":"image"}]}]}"#;
        let problem = serde_json::from_str::<Condition>(wrong).unwrap_err().to_string();
        assert!(problem.contains("expected numbers in order"), "{problem}");
    }
}
