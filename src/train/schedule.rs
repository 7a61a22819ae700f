//! The learning rate: a linear rise, then half a cosine down to nothing, as transformers' `cosine` schedule has it.

/// Of one stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Steps of the stage.
    pub total: usize,
    /// Steps in which the rate rises from 0.
    pub warmup: usize,
    /// The highest rate.
    pub rate: f64,
}

impl Schedule {
    /// `share` of the steps, rounded up, for the rise.
    pub fn new(total: usize, share: f64, rate: f64) -> Self {
        Self { total, warmup: (total as f64 * share).ceil() as usize, rate }
    }

    /// The rate of step number `step`, from 0.
    pub fn at(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.rate * step as f64 / self.warmup as f64;
        }
        let share = (step - self.warmup) as f64 / (self.total - self.warmup).max(1) as f64;
        self.rate * (0.5 * (1.0 + (std::f64::consts::PI * share).cos())).max(0.0)
    }
}

/// Steps that a pass over the data takes; the last may be of fewer examples.
pub fn steps_per_epoch(examples: usize, per_step: usize) -> usize {
    examples.div_ceil(per_step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_and_falls_as_in_transformers() {
        // get_cosine_schedule_with_warmup(optimizer, 2, 10) at rate 1.
        let schedule = Schedule::new(10, 0.2, 1.0);
        let expected = [
            0.0,
            0.5,
            1.0,
            0.961_939_8,
            0.853_553_4,
            0.691_341_7,
            0.5,
            0.308_658_3,
            0.146_446_6,
            0.038_060_2,
        ];
        for (step, expected) in expected.into_iter().enumerate() {
            assert!((schedule.at(step) - expected).abs() < 1e-6, "{step}: {}", schedule.at(step));
        }
        assert_eq!(Schedule::new(7, 0.05, 1e-4).warmup, 1);
        assert_eq!(Schedule::new(3, 0.0, 2.0).at(0), 2.0);
        assert_eq!(steps_per_epoch(17, 8), 3);
    }
}
