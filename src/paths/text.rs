//! Paths in files: as text where they are, else as bytes, so that a name in an old encoding is no reason to lose what is
//! kept beside it. For `#[serde(with = "...")]`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path as a file has it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    /// `"a/b.png"`.
    Text(String),
    /// `{"bytes": "YS9iLnBuZw=="}`: base64 of what the system calls it.
    Bytes { bytes: String },
}

impl Written {
    fn of(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes { bytes: STANDARD.encode(path.as_os_str().as_encoded_bytes()) },
        }
    }

    fn path(self) -> Result<PathBuf, String> {
        match self {
            Self::Text(text) => Ok(PathBuf::from(text)),
            Self::Bytes { bytes } => {
                let bytes = STANDARD.decode(bytes).map_err(|e| format!("the bytes of a path: {e}"))?;
                Ok(PathBuf::from(os_string(bytes)))
            }
        }
    }
}

#[cfg(unix)]
fn os_string(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

/// A path of another system names nothing here; what can be read of it stays readable.
#[cfg(not(unix))]
fn os_string(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// Writes one path.
///
/// # Errors
/// Those of the format.
pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    Written::of(path).serialize(serializer)
}

/// Reads one path.
///
/// # Errors
/// Neither a text nor bytes.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Written::deserialize(deserializer)?.path().map_err(D::Error::custom)
}

/// The same of lists of paths.
pub mod list {
    use super::{Deserialize, Deserializer, PathBuf, Serialize, Serializer, Written};

    /// Writes them.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        paths.iter().map(|path| Written::of(path)).collect::<Vec<_>>().serialize(serializer)
    }

    /// Reads them.
    ///
    /// # Errors
    /// An item that is neither a text nor bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
        let written = Vec::<Written>::deserialize(deserializer)?;
        written.into_iter().map(Written::path).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
    }
}

/// The same of a path that may be missing.
pub mod option {
    use super::{Deserialize, Deserializer, PathBuf, Serialize, Serializer, Written};

    /// Writes it.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_deref().map(Written::of).serialize(serializer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Neither nothing, nor a text, nor bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        let written = Option::<Written>::deserialize(deserializer)?;
        written.map(Written::path).transpose().map_err(serde::de::Error::custom)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Kept {
        #[serde(with = "super")]
        one: PathBuf,
        #[serde(with = "super::list")]
        many: Vec<PathBuf>,
        #[serde(with = "super::option", default)]
        perhaps: Option<PathBuf>,
    }

    #[test]
    fn every_path_goes_round() {
        let odd = PathBuf::from(os_string(b"im\xe9.png".to_vec()));
        let many = vec!["a b.png".into(), odd.clone(), "\u{e9}\n".into(), PathBuf::new()];
        let kept = Kept { one: odd.clone(), many, perhaps: Some(odd) };
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<Kept>(&text).unwrap(), kept);
        assert!(text.contains(r#"["a b.png",{"bytes":"aW3pLnBuZw=="}"#), "{text}");
        let toml = toml::to_string(&kept).unwrap();
        assert_eq!(toml::from_str::<Kept>(&toml).unwrap(), kept);
        let plain: Kept = serde_json::from_str(r#"{"one": "x", "many": []}"#).unwrap();
        assert_eq!(plain, Kept { one: "x".into(), many: vec![], perhaps: None });
    }
}
