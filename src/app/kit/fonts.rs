//! Fonts for scripts that egui's own lack. The system's come first, where it has any; these are for where it has none.

use ab_glyph::{Font, FontRef};
use egui::epaint::text::{FallbackRequest, FontData, FontInsert, FontPriority, InsertFontFamily};

/// Name and bytes, in the order they are tried.
const FONTS: [(&str, &[u8]); 3] = [
    ("Noto Sans Devanagari", include_bytes!("../../../assets/fonts/NotoSansDevanagari-Regular.ttf")),
    ("Noto Emoji", include_bytes!("../../../assets/fonts/NotoEmoji-Regular.ttf")),
    ("Droid Sans Fallback", include_bytes!("../../../assets/fonts/DroidSansFallback.ttf")),
];

/// Makes them known.
pub fn install(ctx: &egui::Context) {
    ctx.add_font_provider(std::sync::Arc::new(font_for));
}

/// The first font that can draw a character.
fn font_for(request: &FallbackRequest<'_>) -> Option<FontInsert> {
    let (name, bytes) = font_of(request.cluster.chars().next()?)?;
    let families = vec![InsertFontFamily { family: request.family.clone(), priority: FontPriority::Lowest }];
    Some(FontInsert { name: name.to_owned(), data: FontData::from_static(bytes), families })
}

fn font_of(character: char) -> Option<(&'static str, &'static [u8])> {
    FONTS.into_iter().find(|(_, bytes)| {
        let font = FontRef::try_from_slice(bytes);
        font.is_ok_and(|font| font.glyph_id(character).0 != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_egui_lacks_have_a_font() {
        for (text, name) in [
            ("多少个杯子", "Droid Sans Fallback"),
            ("いくつカップ", "Droid Sans Fallback"),
            ("컵이몇개", "Droid Sans Fallback"),
            ("कितनेकप", "Noto Sans Devanagari"),
            ("🧠🙂🫠", "Noto Emoji"),
        ] {
            for character in text.chars() {
                assert_eq!(font_of(character).map(|(name, _)| name), Some(name), "{character}");
            }
        }
        assert!(font_of('\u{10ffff}').is_none());
    }
}
