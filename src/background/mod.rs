//! A folder of frames, a picture or a video -> backgrounds, each with its crop rectangle.
//!
//! Everything is checked when it is opened ([`Backgrounds`]); pictures are decoded when a frame needs them
//! ([`BackgroundCache`]).
//!
//! | file | what it does |
//! | --- | --- |
//! | `backgrounds` | opens and checks all backgrounds of a clip |
//! | `folder` | lists the numbered pictures of a folder |
//! | `still` | decodes one picture |
//! | `colour_profile` | converts pictures with another colour profile to sRGB |
//! | `hdr_picture` | warns of HDR pictures |
//! | `other_pictures` | names picture formats that are not read, and the commands that convert them |
//! | `video/` | reads the header and the frames of a video |
//! | `sampling`, `sampled_video` | picks a video's frames at the clip's frame rate, and decodes them in any order |
//! | `crop_rects`, `pairing` | reads crop rectangles, and assigns one to each background |
//! | `footage` | the same sources without crop rectangles, for `prepare` |
//! | `order` | says which background each frame of the clip shows |
//! | `decoded`, `cache` | decoded backgrounds, kept within a memory budget |

mod backgrounds;
mod cache;
mod colour_profile;
pub(crate) mod crop_rects;
mod decoded;
pub(crate) mod folder;
mod footage;
mod hdr_picture;
pub(crate) mod order;
mod other_pictures;
mod pairing;
mod sampled_video;
mod sampling;
mod still;
pub(crate) mod video;

pub use backgrounds::Backgrounds;
pub use cache::BackgroundCache;
pub use crop_rects::read as read_crop_rects;
pub use decoded::{Background, FrameFormats};
pub(crate) use footage::Footage;
pub use order::Order;
pub(crate) use other_pictures::FolderContents;
pub(crate) use pairing::inside;
pub(crate) use still::{has_image_extension, load_picture};
pub use video::VideoFile;
