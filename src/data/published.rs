//! What the paper reports: Table 1 of its second version (arXiv 2512.21218v2), accuracy by task.

/// A row of the table.
pub struct PublishedRow {
    /// The model and how it was trained.
    pub name: &'static str,
    /// Percent, in the order of [`TASKS`].
    pub percent: [f64; 9],
    /// Their mean as it is printed.
    pub mean: f64,
}

/// The tasks, as files call them, with the number of samples in each test.
pub const TASKS: [(&str, u32); 9] = [
    ("counting", 528),
    ("jigsaw", 150),
    ("object_localization", 122),
    ("visual_correspondence", 700),
    ("art_style", 117),
    ("semantic_correspondence", 139),
    ("functional_correspondence", 146),
    ("relative_reflectance", 134),
    ("visual_similarity", 135),
];

const fn row(name: &'static str, percent: [f64; 9], mean: f64) -> PublishedRow {
    PublishedRow { name, percent, mean }
}

/// Its rows.
pub const TABLE: [PublishedRow; 9] = [
    row("Qwen2.5-VL-3B", [46.78, 49.33, 56.56, 29.86, 55.56, 32.37, 26.71, 45.52, 50.37], 43.67),
    row("Qwen2.5-VL-3B, SFT", [60.04, 53.33, 75.41, 88.00, 83.76, 41.01, 18.49, 44.78, 89.63], 61.61),
    row("Qwen2.5-VL-3B, LIVR", [63.64, 65.33, 79.51, 90.43, 87.18, 46.76, 31.51, 51.49, 94.82], 67.85),
    row("Qwen3-VL-4B", [58.52, 84.67, 59.02, 55.43, 77.78, 39.57, 31.51, 47.76, 82.22], 59.61),
    row("Qwen3-VL-4B, SFT", [66.86, 83.33, 79.51, 90.86, 78.63, 61.15, 58.90, 56.72, 91.11], 74.12),
    row("Qwen3-VL-4B, LIVR", [66.67, 85.33, 83.61, 93.29, 81.20, 64.75, 67.81, 62.69, 92.59], 77.55),
    row("LLaVA-OV-1.5-4B", [53.98, 56.00, 56.56, 36.86, 56.41, 29.50, 21.92, 35.82, 51.11], 44.24),
    row("LLaVA-OV-1.5-4B, SFT", [60.42, 65.33, 68.85, 86.86, 76.92, 46.76, 23.29, 52.24, 92.59], 63.70),
    row("LLaVA-OV-1.5-4B, LIVR", [63.64, 70.67, 72.95, 88.71, 80.34, 51.08, 50.69, 53.73, 91.85], 69.30),
];

impl PublishedRow {
    /// That of a task with the number of samples; of all of them where the name is empty.
    pub fn of(&self, task: &str) -> Option<(f64, u32)> {
        if task.is_empty() {
            return Some((self.mean, TASKS.iter().map(|(_, count)| count).sum()));
        }
        let place = TASKS.iter().position(|(name, _)| *name == task)?;
        Some((self.percent[place], TASKS[place].1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_is_of_its_number_of_samples() {
        for row in &TABLE {
            for ((task, count), percent) in TASKS.iter().zip(row.percent) {
                let right = (percent * f64::from(*count) / 100.0).round();
                let exact = 100.0 * right / f64::from(*count);
                assert!(
                    (exact - percent).abs() < 0.006,
                    "{}, {task}: {percent} is not {right} of {count}",
                    row.name
                );
            }
            let mean = row.percent.iter().sum::<f64>() / 9.0;
            assert!((mean - row.mean).abs() < 0.0151, "{}: {mean} and {}", row.name, row.mean);
        }
        assert_eq!(TABLE[5].of("jigsaw"), Some((85.33, 150)));
        assert_eq!(TABLE[5].of("maze"), None);
    }
}
