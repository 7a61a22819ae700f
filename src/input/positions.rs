//! Multimodal rotary positions (Qwen2-VL, section 2.1).

use crate::checkpoint::config::Family;
use crate::units::GridThw;

/// Temporal, height and width position of every token as a family has them, and the position the next token would have.
pub fn positions_of(
    family: Family,
    is_image: impl Iterator<Item = bool>,
    grids: &[GridThw],
    merge_size: usize,
) -> (Vec<[i64; 3]>, i64) {
    match family {
        Family::Qwen2_5Vl | Family::Qwen3Vl => mrope_positions(is_image, grids, merge_size),
    }
}

/// Multimodal positions.
///
/// Text counts up on all three axes. An image starts where the text stopped; its tokens take their row
/// and column in the merged grid, and text goes on after the larger of the two.
pub fn mrope_positions(
    is_image: impl Iterator<Item = bool>,
    grids: &[GridThw],
    merge_size: usize,
) -> (Vec<[i64; 3]>, i64) {
    let mut positions = Vec::new();
    let mut next = 0i64;
    let mut grids = grids.iter();
    let mut image: Option<(GridThw, usize)> = None;
    for is_image in is_image {
        if !is_image {
            positions.push([next; 3]);
            next += 1;
            continue;
        }
        let (grid, seen) = match image.take() {
            Some(current) => current,
            None => match grids.next() {
                Some(grid) => (*grid, 0),
                None => unreachable!("the processor made one run of placeholders per grid"),
            },
        };
        let (rows, cols) = grid.merged(merge_size);
        let (frame, cell) = (seen / (rows * cols), seen % (rows * cols));
        positions.push([next + frame as i64, next + (cell / cols) as i64, next + (cell % cols) as i64]);
        if seen + 1 == grid.num_visual_tokens(merge_size) {
            next += rows.max(cols) as i64;
        } else {
            image = Some((grid, seen + 1));
        }
    }
    (positions, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_takes_its_grid_and_text_goes_on_after_its_longer_side() {
        let roles = [false, true, true, true, true, true, true, false];
        let grid = GridThw { t: 1, h: 4, w: 6 };
        let (positions, next) = mrope_positions(roles.into_iter(), &[grid], 2);
        assert_eq!(positions[0], [0, 0, 0]);
        assert_eq!(positions[1..7], [[1, 1, 1], [1, 1, 2], [1, 1, 3], [1, 2, 1], [1, 2, 2], [1, 2, 3]]);
        assert_eq!(positions[7], [4, 4, 4]);
        assert_eq!(next, 5);
    }
}
