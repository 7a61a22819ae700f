//! The window, in storeys: `kit` knows nothing of what is shown, `parts` hold the state of each feature, `hub` is all of them and
//! what can be asked of them, `rooms` are features: panels that read the state and push actions, and the handlers of these.
//! `session` is what a window leaves on disk, `window` what eframe runs.

pub mod hub;
pub mod kit;
pub mod parts;
pub mod rooms;
pub mod session;
pub mod window;
