//! Where an export goes: standard output, or a file that nobody else may read and that is there only when it is whole.

use std::{
    ffi::OsString,
    fmt::Display,
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::cli::Failure;

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Keep,
    Replace,
}

/// Where lines go.
pub(super) struct Output {
    sink: BufWriter<Box<dyn Write>>,
    name: String,
    file: Option<Draft>,
}

/// A file on its way; one that is dropped half-way is removed.
struct Draft {
    file: File,
    draft: PathBuf,
    path: PathBuf,
    existing: Existing,
}

impl Output {
    pub(super) fn open(path: Option<&Path>, existing: Existing) -> Result<Self, Failure> {
        let Some(path) = path else {
            let sink: Box<dyn Write> = Box::new(io::stdout().lock());
            return Ok(Self { sink: BufWriter::new(sink), name: "standard output".to_owned(), file: None });
        };
        let name = path.display().to_string();
        let draft = Draft::open(path, existing)?;
        let file = draft.file.try_clone().map_err(|error| cannot_write(&name, error))?;
        Ok(Self { sink: BufWriter::new(Box::new(file)), name, file: Some(draft) })
    }

    pub(super) fn line(&mut self, line: &str) -> Result<(), Failure> {
        let written = self.sink.write_all(line.as_bytes()).and_then(|()| self.sink.write_all(b"\n"));
        written.map_err(|error| cannot_write(&self.name, error))
    }

    /// Everything was written.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let done = self.sink.flush().and_then(|()| self.file.take().map_or(Ok(()), Draft::finish));
        done.map_err(|error| cannot_write(&self.name, error))
    }
}

impl Draft {
    fn open(path: &Path, existing: Existing) -> Result<Self, Failure> {
        let name = path.display();
        match fs::metadata(path) {
            Ok(found) if !found.is_file() => return Err(Failure::Run(format!("{name} is not a file"))),
            Ok(_) if existing == Existing::Keep => {
                return Err(Failure::Run(format!("{name} is there already; name another file, or say --force")));
            }
            Ok(_) | Err(_) => {}
        }
        let mut draft = OsString::from(path);
        draft.push(".partial");
        let file = File::options().write(true).create_new(true).mode(0o600).open(&draft);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::Run(format!(
                "{name}.partial is there already; remove it unless another export is writing it at this moment"
            )),
            _ => cannot_write(name, error),
        })?;
        Ok(Self { file, draft: draft.into(), path: path.to_owned(), existing })
    }

    fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        match self.existing {
            Existing::Replace => fs::rename(&self.draft, &self.path),
            // A link takes nobody's place, unlike a renamed file. What is dropped then is its other name.
            Existing::Keep => match fs::hard_link(&self.draft, &self.path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => fs::rename(&self.draft, &self.path),
                linked => linked,
            },
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.draft);
    }
}

fn cannot_write(name: impl Display, error: io::Error) -> Failure {
    Failure::Run(format!("{name} cannot be written: {error}"))
}
