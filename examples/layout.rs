//! A t-SNE layout of any states: here of two clouds in ten dimensions.
#![expect(clippy::print_stdout, reason = "an example shows what it finds")]

use livr_explorer::error::Result;
use livr_explorer::progress::Unobserved;
use livr_explorer::projection::rows::InMemory;
use livr_explorer::projection::{Options, prepare};
use livr_explorer::random::uniform_of_name;

fn main() -> Result<()> {
    const WIDTH: usize = 10;
    const EACH: usize = 100;
    let mut values = uniform_of_name(0, "clouds", 2 * EACH * WIDTH, 1.0);
    values[EACH * WIDTH..].iter_mut().for_each(|value| *value += 8.0);
    let options = Options { components: None, ..Options::default() };
    let prepared = prepare(&InMemory::new(&values, WIDTH), &options, &Unobserved)?;
    let layout = prepared.map(&options, None, &Unobserved, &mut |_places| {})?;
    let centre = |cloud: usize| -> [f32; 2] {
        let places = &layout.places[cloud * EACH..][..EACH];
        [0, 1].map(|axis| places.iter().map(|place| place[axis]).sum::<f32>() / EACH as f32)
    };
    println!("KL {:.3}, centres {:?} and {:?}", layout.divergence, centre(0), centre(1));
    Ok(())
}
