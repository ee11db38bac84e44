//! Reading and verification of a model's files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::ModelFile;
use super::error::{FileErrors as _, ModelsError};

impl ModelFile {
    /// Verifies the checksum of the file in `directory`.
    ///
    /// # Errors
    /// When it is missing, damaged or unreadable.
    pub fn verify(&self, directory: &Path) -> Result<(), ModelsError> {
        let path = directory.join(self.name);
        self.compare(&path, sha256(&path)?)
    }

    /// Reads the file in `directory`, and verifies its checksum.
    ///
    /// # Errors
    /// When it is missing, damaged or unreadable.
    pub fn read(&self, directory: &Path) -> Result<Vec<u8>, ModelsError> {
        let path = directory.join(self.name);
        let mut content = Vec::with_capacity(usize::try_from(self.bytes).unwrap_or_default());
        open(&path)?.read_to_end(&mut content).or_file_error("read", &path)?;
        self.compare(&path, hex::encode(Sha256::digest(&content)))?;
        Ok(content)
    }

    fn compare(&self, path: &Path, found: String) -> Result<(), ModelsError> {
        if found == self.sha256 {
            return Ok(());
        }
        Err(ModelsError::Damaged { file: path.to_owned(), expected: self.sha256, found })
    }
}

/// The SHA-256 of a file, in lower-case hexadecimal digits.
///
/// # Errors
/// When it is missing or unreadable.
pub fn sha256(path: &Path) -> Result<String, ModelsError> {
    let mut file = open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let length = file.read(&mut buffer).or_file_error("read", path)?;
        if length == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&buffer[..length]);
    }
}

fn open(path: &Path) -> Result<File, ModelsError> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ModelsError::Missing(path.to_owned())),
        opened => opened.or_file_error("read", path),
    }
}
