//! Where a model runs, and in what element type.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What `--device` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// A GPU where this build and this machine have one, else the CPU.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The n-th NVIDIA GPU.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected auto, cpu or cuda:N, found {text}");
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => {
                let number = other.strip_prefix("cuda:").ok_or_else(wrong)?;
                number.parse().map(Self::Cuda).ok().ok_or_else(wrong)
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

/// What `--dtype` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtypeChoice {
    /// bf16 on a GPU, and on a CPU that multiplies bf16 for checkpoints stored so; else f32.
    #[default]
    Auto,
    /// Single precision.
    F32,
    /// Brain float.
    Bf16,
    /// Half precision.
    F16,
    /// Linear layers in 8 bits, made at load (CPU only): answers differ from the reference.
    Q8,
    /// Linear layers in 4 bits, made at load (CPU only): answers differ from the reference.
    Q4,
}

impl DtypeChoice {
    /// As options and files name them, in the order they are declared.
    pub const NAMES: [&'static str; 6] = ["auto", "f32", "bf16", "f16", "q8", "q4"];

    /// As options and files name it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl FromStr for DtypeChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Auto, Self::F32, Self::Bf16, Self::F16, Self::Q8, Self::Q4];
        let found = all.into_iter().find(|dtype| dtype.name() == text);
        found.ok_or_else(|| format!("expected one of {}, found {text}", Self::NAMES.join(", ")))
    }
}
