//! Names of conditions: those of the paper's battery, or the words of a shell that say what a condition says.

use super::condition::Condition;
use super::disturbance::Disturbance;
use super::mask::MaskKind;

impl Condition {
    /// Its name beside others that are asked as `usual` says: one of the battery's, or what it says as the words of a shell,
    /// `mask=bottleneck 'do=block latents->image'`.
    pub fn name(&self, usual: &Self) -> String {
        let known = BATTERY.iter().find(|(_, mask, without)| *self == paper(usual, *mask, *without));
        if let Some((name, ..)) = known {
            return (*name).to_owned();
        }
        let said = self.said(usual);
        // As options of data sets' disturbances are named alone.
        if let [("disturb", how)] = &said[..] {
            return how.clone();
        }
        let said = said.iter().map(|(option, value)| quoted(format!("{option}={value}")));
        said.collect::<Vec<_>>().join(" ")
    }

    /// The condition of a name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn named(name: &str, usual: &Self) -> Result<Self, String> {
        if let Some((_, mask, without)) = BATTERY.iter().find(|(own, ..)| *own == name) {
            return Ok(paper(usual, *mask, *without));
        }
        if let Ok(how) = name.parse() {
            return Ok(Self { disturbance: Some(how), ..usual.clone() });
        }
        let words = shlex::split(name).filter(|words| !words.is_empty());
        let words =
            words.ok_or_else(|| format!("expected a condition like mask=bottleneck, found {name}"))?;
        let said = words.iter().map(|said| match said.split_once('=') {
            // As it may stand alone.
            _ if said.parse::<Disturbance>().is_ok() => Ok(("disturb", said.as_str())),
            Some(said) => Ok(said),
            None => Err(format!("expected words like mask=bottleneck, found {said}")),
        });
        usual.clone().with_all(said.collect::<Result<Vec<_>, _>>()?)
    }

    /// The paper's four: as it is, without latents, under the bottleneck, under both.
    pub fn battery(usual: &Self) -> Vec<Self> {
        BATTERY.iter().map(|(_, mask, without)| paper(usual, *mask, *without)).collect()
    }
}

/// The battery's conditions: name, mask, whether latents are left out.
const BATTERY: [(&str, MaskKind, bool); 4] = [
    ("normal", MaskKind::Standard, false),
    ("no-latents", MaskKind::Standard, true),
    ("bottleneck", MaskKind::Bottleneck, false),
    ("bottleneck-no-latents", MaskKind::Bottleneck, true),
];

fn paper(usual: &Condition, mask: MaskKind, without_latents: bool) -> Condition {
    use super::decoding::LatentChoice::{Auto, Off};
    usual.clone().masked(mask).with_latents(if without_latents { Off } else { Auto })
}

/// As one word of a shell.
fn quoted(text: String) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.=".contains(c);
    if text.chars().all(is_plain) {
        return text;
    }
    // A NUL, which no word of a condition has, is all that cannot be quoted.
    shlex::try_quote(&text).map(std::borrow::Cow::into_owned).unwrap_or_default()
}
