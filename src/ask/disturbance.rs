//! Ways to make a sample harder, or to rob it of what it cannot be answered without.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is done to a sample before it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "Written")]
pub enum Disturbance {
    /// A grey square over this share of each image, somewhere.
    Occlusion(f32),
    /// Normal noise of this standard deviation on every sample of every pixel, white being 1.
    Noise(f32),
    /// Each image turned about its centre by this many degrees, to either side.
    Rotation(f32),
    /// Every image grey.
    NoImages,
    /// The same words whatever is asked.
    NoQuestion,
}

/// As files have it: any number.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Written {
    Occlusion(f32),
    Noise(f32),
    Rotation(f32),
    NoImages,
    NoQuestion,
}

impl TryFrom<Written> for Disturbance {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let own = match written {
            Written::Occlusion(share) => Self::Occlusion(share),
            Written::Noise(deviation) => Self::Noise(deviation),
            Written::Rotation(degrees) => Self::Rotation(degrees),
            Written::NoImages => Self::NoImages,
            Written::NoQuestion => Self::NoQuestion,
        };
        own.to_string().parse()
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Occlusion(share) => write!(f, "occlusion={share}"),
            Self::Noise(deviation) => write!(f, "noise={deviation}"),
            Self::Rotation(degrees) => write!(f, "rotation={degrees}"),
            Self::NoImages => f.write_str("no-images"),
            Self::NoQuestion => f.write_str("no-question"),
        }
    }
}

impl FromStr for Disturbance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "expected occlusion=SHARE, noise=DEVIATION (each from 0 to 1), rotation=DEGREES (to 180), no-images or \
                 no-question, found {text}"
            )
        };
        match text {
            "no-images" => return Ok(Self::NoImages),
            "no-question" => return Ok(Self::NoQuestion),
            _ => {}
        }
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let value: f32 = value.parse().map_err(|_other| wrong())?;
        let within = |most: f32| if (0.0..=most).contains(&value) { Ok(value) } else { Err(wrong()) };
        match name {
            "occlusion" => within(1.0).map(Self::Occlusion),
            "noise" => within(1.0).map(Self::Noise),
            "rotation" => within(180.0).map(Self::Rotation),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_cannot_be_is_said() {
        for text in ["", "noise", "noise=2", "rotation=-1", "occlusion=nan", "blur=1"] {
            let problem = text.parse::<Disturbance>().unwrap_err();
            assert!(problem.contains("expected occlusion=SHARE"), "{problem}");
        }
        for text in ["occlusion=0.2", "noise=0.1", "rotation=20", "no-images", "no-question"] {
            assert_eq!(text.parse::<Disturbance>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_a_file_says_is_what_one_can_say() {
        for text in [r#"{"rotation":1e39}"#, r#"{"occlusion":4}"#, r#"{"noise":-0.1}"#, r#""nothing""#] {
            assert!(serde_json::from_str::<Disturbance>(text).is_err(), "{text}");
        }
        for text in ["occlusion=0.2", "rotation=20", "no-question"] {
            let own: Disturbance = text.parse().unwrap();
            let json = serde_json::to_string(&own).unwrap();
            assert_eq!(serde_json::from_str::<Disturbance>(&json).unwrap(), own);
        }
    }
}
