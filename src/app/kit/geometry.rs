//! Where images lie on the screen, and which patch is under a point.

use std::sync::Arc;

use egui::{Rect, Vec2, pos2, vec2};

use crate::data::picture::Picture;

/// A visual token under the pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hovered {
    /// Which image of the canvas.
    pub image: usize,
    /// Row in its merged grid.
    pub row: usize,
    /// Column in its merged grid.
    pub col: usize,
}

/// Patches of an image, corners included: a single one, or a rectangle of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Which image of the canvas.
    pub image: usize,
    /// First and last row.
    pub rows: (usize, usize),
    /// First and last column.
    pub cols: (usize, usize),
}

impl Region {
    /// Between two patches of one image.
    pub fn between(a: Hovered, b: Hovered) -> Self {
        let ends = |x: usize, y: usize| (x.min(y), x.max(y));
        Self { image: a.image, rows: ends(a.row, b.row), cols: ends(a.col, b.col) }
    }

    /// Is it a single patch?
    pub fn is_patch(&self) -> bool {
        self.rows.0 == self.rows.1 && self.cols.0 == self.cols.1
    }

    /// Left, top, right and bottom in pixels of an image of this size whose grid is `rows` x `cols`.
    pub fn pixels(&self, (width, height): (u32, u32), rows: usize, cols: usize) -> [u32; 4] {
        let edge =
            |i: usize, count: usize, side: u32| (i as f64 * f64::from(side) / count as f64).round() as u32;
        [
            edge(self.cols.0, cols, width),
            edge(self.rows.0, rows, height),
            edge(self.cols.1 + 1, cols, width),
            edge(self.rows.1 + 1, rows, height),
        ]
    }
}

/// Zoom and place of the images in the canvas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CanvasView {
    /// 1 fits all images.
    pub zoom: f32,
    /// Shift of the centre in points.
    pub pan: Vec2,
}

impl Default for CanvasView {
    fn default() -> Self {
        Self { zoom: 1.0, pan: Vec2::ZERO }
    }
}

/// Farthest out.
pub const MIN_ZOOM: f32 = 0.25;
/// Farthest in.
pub const MAX_ZOOM: f32 = 40.0;

/// Width and height of pictures, in pixels.
pub fn sizes(pictures: &[Arc<Picture>]) -> Vec<Vec2> {
    pictures.iter().map(|picture| picture.size()).map(|(w, h)| vec2(w as f32, h as f32)).collect()
}

/// Lays images of these sizes side by side, of one height, as large as `area` allows.
pub fn fit_row(sizes: &[Vec2], area: Rect, gap: f32) -> Vec<Rect> {
    if sizes.is_empty() {
        return Vec::new();
    }
    let gaps = gap * (sizes.len() - 1) as f32;
    let aspects: Vec<f32> = sizes.iter().map(|size| size.x / size.y.max(1.0)).collect();
    let total: f32 = aspects.iter().sum();
    let height = area.height().min((area.width() - gaps).max(1.0) / total);
    let width = height * total + gaps;
    let mut left = area.center().x - width / 2.0;
    aspects
        .iter()
        .map(|aspect| {
            let rect = Rect::from_min_size(
                pos2(left, area.center().y - height / 2.0),
                vec2(height * aspect, height),
            );
            left += rect.width() + gap;
            rect
        })
        .collect()
}

/// Wider or higher images than this have the room of one that is not, so that they do not flatten the others.
const WIDEST: f32 = 3.0;

/// Lays images in as many rows as makes them largest, in their order; within a row they have one height.
pub fn fit_grid(sizes: &[Vec2], area: Rect, gap: f32) -> Vec<Rect> {
    let aspect = |size: &Vec2| size.x / size.y.max(1.0);
    // Room by a tamed aspect, then each image as large as its room lets it be.
    let tamed: Vec<Vec2> =
        sizes.iter().map(|size| vec2(aspect(size).clamp(1.0 / WIDEST, WIDEST), 1.0)).collect();
    let within = |room: Rect, size: &Vec2| {
        let scale = (room.width() / size.x.max(1.0)).min(room.height() / size.y.max(1.0));
        Rect::from_center_size(room.center(), *size * scale)
    };
    let laid = |rows: usize| -> Vec<Rect> {
        let height = (area.height() - gap * (rows - 1) as f32) / rows as f32;
        let in_a_row = sizes.len().div_ceil(rows);
        let strip = |row: usize| {
            let top = area.min.y + row as f32 * (height + gap);
            Rect::from_min_size(pos2(area.min.x, top), vec2(area.width(), height.max(1.0)))
        };
        let rooms =
            tamed.chunks(in_a_row).enumerate().flat_map(|(row, sizes)| fit_row(sizes, strip(row), gap));
        rooms.zip(sizes).map(|(room, size)| within(room, size)).collect()
    };
    let area_of = |rects: &[Rect]| rects.iter().map(|rect| rect.area().sqrt()).sum::<f32>();
    let all = (1..=sizes.len()).map(laid);
    // The fewest rows of those that are as good.
    all.fold(Vec::new(), |best, other| if area_of(&other) > 1.001 * area_of(&best) { other } else { best })
}

/// Sizes of images beside each other, in pixels.
#[derive(Debug, Clone)]
pub struct ImageSizes {
    /// Of each.
    pub sizes: Vec<Vec2>,
    /// A pixel is as large in one as in another; else each has the room there is.
    pub one_scale: bool,
}

/// Makes images smaller until a pixel is as large in one as in another.
fn at_one_scale(rects: &[Rect], sizes: &[Vec2]) -> Vec<Rect> {
    let scales = rects.iter().zip(sizes).map(|(rect, size)| rect.width() / size.x.max(1.0));
    let least = scales.fold(f32::INFINITY, f32::min);
    let shrunk =
        rects.iter().zip(sizes).map(|(rect, size)| Rect::from_center_size(rect.center(), *size * least));
    shrunk.collect()
}

/// The images as zoomed and panned; with one maximised the others have no place.
pub fn place(
    images: &ImageSizes,
    area: Rect,
    gap: f32,
    view: CanvasView,
    maximised: Option<usize>,
) -> Vec<Rect> {
    let center = area.center() + view.pan;
    let sizes = &images.sizes;
    let rects = match maximised.filter(|index| *index < sizes.len()) {
        None if images.one_scale => at_one_scale(&fit_grid(sizes, area, gap), sizes),
        None => fit_grid(sizes, area, gap),
        Some(index) => {
            let alone = fit_row(&sizes[index..=index], area, gap)[0];
            (0..sizes.len()).map(|i| if i == index { alone } else { Rect::NOTHING }).collect()
        }
    };
    rects
        .into_iter()
        .map(|rect| {
            if !rect.is_positive() {
                return rect;
            }
            let min = center + (rect.min - area.center()) * view.zoom;
            Rect::from_min_size(min, rect.size() * view.zoom)
        })
        .collect()
}

/// The part of a rectangle in view, 0 to 1 across it: left, top, right, bottom.
pub fn visible_part(rect: Rect, visible: Rect) -> [f32; 4] {
    let across = (visible.min - rect.min) / rect.size();
    let until = (visible.max - rect.min) / rect.size();
    [across.x, across.y, until.x, until.y]
}

/// The patch of a grid of `rows` x `cols` over `rect` that a point is in.
pub fn patch_from_point(
    image: usize,
    rect: Rect,
    rows: usize,
    cols: usize,
    point: egui::Pos2,
) -> Option<Hovered> {
    if !rect.contains(point) {
        return None;
    }
    let across = (point - rect.min) / rect.size();
    let cell = |share: f32, count: usize| ((share * count as f32) as usize).min(count - 1);
    Some(Hovered { image, row: cell(across.y, rows), col: cell(across.x, cols) })
}

/// The rectangle of a patch.
pub fn rect_from_patch(rect: Rect, rows: usize, cols: usize, row: usize, col: usize) -> Rect {
    let size = rect.size() / vec2(cols as f32, rows as f32);
    Rect::from_min_size(rect.min + size * vec2(col as f32, row as f32), size)
}

/// Zooms about a point so that what is under it stays there.
pub fn zoom_about(view: CanvasView, factor: f32, from_center: Vec2) -> CanvasView {
    let zoom = (view.zoom * factor).clamp(MIN_ZOOM, MAX_ZOOM);
    let ratio = zoom / view.zoom;
    CanvasView { zoom, pan: from_center + (view.pan - from_center) * ratio }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_share_a_height_and_fit() {
        let area = Rect::from_min_size(pos2(0.0, 0.0), vec2(310.0, 200.0));
        let rects = fit_row(&[vec2(100.0, 100.0), vec2(200.0, 100.0)], area, 10.0);
        assert_eq!(rects[0].height(), rects[1].height());
        assert!((rects[1].right() - rects[0].left() - 310.0).abs() < 1e-3);
    }

    #[test]
    fn many_images_make_a_grid_and_a_long_one_does_not_flatten_it() {
        let area = Rect::from_min_size(pos2(0.0, 0.0), vec2(600.0, 400.0));
        let four = fit_grid(&[vec2(100.0, 100.0); 4], area, 10.0);
        assert_eq!((four[0].min.y, four[2].min.y > four[0].max.y), (four[1].min.y, true));
        assert!(four.iter().all(|rect| area.expand(0.01).contains_rect(*rect)));
        let with_long = fit_grid(&[vec2(100.0, 100.0), vec2(5000.0, 50.0), vec2(100.0, 100.0)], area, 10.0);
        assert!(with_long[0].height() > 120.0, "{with_long:?}");
        assert!((with_long[1].width() / with_long[1].height() - 100.0).abs() < 0.1);
        let images = |sizes: &[Vec2], one_scale| ImageSizes { sizes: sizes.to_vec(), one_scale };
        let four = images(&[vec2(100.0, 100.0); 4], false);
        let one = place(&four, area, 10.0, CanvasView::default(), Some(2));
        assert!(one[2].height() == 400.0 && !one[0].is_positive());
    }

    #[test]
    fn pieces_lie_beside_their_picture_at_its_scale() {
        let area = Rect::from_min_size(pos2(0.0, 0.0), vec2(600.0, 200.0));
        let sizes = vec![vec2(100.0, 80.0), vec2(50.0, 40.0), vec2(50.0, 40.0)];
        let placed = |one_scale| {
            let images = ImageSizes { sizes: sizes.clone(), one_scale };
            place(&images, area, 10.0, CanvasView::default(), None)
        };
        let scales: Vec<f32> =
            placed(true).iter().zip(&sizes).map(|(rect, size)| rect.width() / size.x).collect();
        assert!(scales.iter().all(|scale| (scale - scales[0]).abs() < 1e-4), "{scales:?}");
        assert!((placed(false)[1].width() / sizes[1].x - 2.0 * scales[0]).abs() < 0.1);
    }

    #[test]
    fn a_region_says_its_pixels() {
        let corner = |row, col| Hovered { image: 0, row, col };
        let region = Region::between(corner(3, 1), corner(1, 2));
        assert_eq!((region.rows, region.cols), ((1, 3), (1, 2)));
        assert_eq!(region.pixels((100, 80), 4, 10), [10, 20, 30, 80]);
    }

    #[test]
    fn a_patch_and_its_rectangle_agree() {
        let rect = Rect::from_min_size(pos2(10.0, 20.0), vec2(100.0, 50.0));
        let patch = rect_from_patch(rect, 5, 10, 3, 7);
        let hovered = patch_from_point(0, rect, 5, 10, patch.center()).unwrap();
        assert_eq!((hovered.row, hovered.col), (3, 7));
        assert_eq!(patch_from_point(0, rect, 5, 10, pos2(0.0, 0.0)), None);
    }

    #[test]
    fn zooming_keeps_the_point_under_the_pointer() {
        let view = CanvasView { zoom: 2.0, pan: vec2(5.0, -3.0) };
        let pointer = vec2(40.0, 10.0);
        let zoomed = zoom_about(view, 1.5, pointer);
        let content = |view: CanvasView| (pointer - view.pan) / view.zoom;
        assert!((content(view) - content(zoomed)).length() < 1e-4);
    }
}
