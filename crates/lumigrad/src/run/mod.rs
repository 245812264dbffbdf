//! What every job shares: events, run folders, checkpoints, budgets, and the summary that `--json` prints.

mod background;
mod budget;
mod checkpoint;
mod convert;
mod devices;
mod eval;
mod event;
mod folder;
pub mod job;
mod lenses;
mod memory;
mod render;
pub mod report;
mod saves;
mod sphere;
mod splats;
mod summary;
mod video;

pub use background::{background, fixed};
pub use budget::Budget;
pub use checkpoint::{Array, Checkpoint};
pub use convert::{convert, flatten};
pub use devices::devices;
pub use eval::eval;
pub use event::{Event, Observer, Silent, Stop};
pub use folder::{RunFolder, USUAL};
pub(crate) use memory::CELL_BYTES;
pub use memory::{available_memory_bytes, optimize_bytes, peak_memory_bytes, require_memory, scene_bytes};
pub(crate) use render::{ELEVATION, choose, file_name, make_folder, sphere_of};
pub use render::{RenderSettings, SIZE, cameras, render};
pub use saves::Saves;
pub use sphere::sphere;
pub use splats::{convert_splats, load_splats, render_splats, run_splats, technique};
pub(crate) use splats::{framing as splat_framing, turned};
pub use summary::{Record, Summary};
pub use video::video;
