//! Opens files to read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::place::{Place, Stream};

/// Opens a file to read it from its beginning to its end. A named pipe or a device is an error: opening a pipe would wait for
/// a writer, which no signal could interrupt, and a device may have no end. What the shell has opened (`<(..)`) is fine, and
/// so is `/dev/null`, which is empty.
pub(crate) fn open_input(path: &Path) -> io::Result<File> {
    match Place::of(path)? {
        Place::Stream(Stream::Device(device)) if device == Path::new("/dev/null") => {
            File::open(path)
        }
        Place::Stream(stream @ (Stream::Pipe(_) | Stream::Device(_))) => {
            Err(no_file(stream.what()))
        }
        Place::Unfit(what) => Err(no_file(what)),
        Place::File(_) | Place::Stream(Stream::Descriptor(_)) => File::open(path),
    }
}

/// The bytes of a file, see [`open_input`].
pub(crate) fn read_input(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_input(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn no_file(what: &str) -> io::Error {
    io::Error::other(format!("it is {what}, not a file"))
}
