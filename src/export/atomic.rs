//! Files appear whole or not at all.

use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes to a temporary file beside `path`, then renames it over.
pub fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let dir = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !dir.is_dir() {
        return Err(Error::Missing { what: "the folder to write to".to_owned(), path: dir.to_owned() });
    }
    let failed = |e| Error::io("write the file", path, e);
    let mut builder = tempfile::Builder::new();
    // Not the private mode of temporary files: what the user's umask leaves, as for any file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(dir).map_err(failed)?;
    {
        let mut buffered = std::io::BufWriter::new(&mut file);
        content(&mut buffered).map_err(failed)?;
        buffered.flush().map_err(failed)?;
    }
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}
