//! A few small files as one `.tar.gz`: the format of POSIX (ustar), in a gzip file (RFC 1952) whose
//! blocks are stored as they are. It is read by every tar, and needs no compressor here.

/// Bytes of a header and the unit that all parts are filled up to.
const UNIT: usize = 512;
/// Bytes of a stored block (RFC 1951 section 3.2.4).
const BLOCK: usize = 65_535;

/// The parts, by name, as the bytes of a file.
pub(super) fn packed(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in parts {
        tar.extend_from_slice(&header(name, bytes.len()));
        tar.extend_from_slice(bytes);
        tar.resize(tar.len().next_multiple_of(UNIT), 0);
    }
    // Two empty headers are the end.
    tar.resize(tar.len() + 2 * UNIT, 0);
    stored(&tar)
}

fn header(name: &str, size: usize) -> [u8; UNIT] {
    let mut header = [0; UNIT];
    let mut put = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, &format!("hookbox/{name}"));
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    // The sum counts as blanks while it is made.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");

    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let last = bytes.chunks(BLOCK).count().saturating_sub(1);
    for (at, block) in bytes.chunks(BLOCK).enumerate() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        file.push(u8::from(at == last));
        file.extend_from_slice(&length.to_le_bytes());
        file.extend_from_slice(&(!length).to_le_bytes());
        file.extend_from_slice(block);
    }

    file.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    let size = u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or(u32::MAX);
    file.extend_from_slice(&size.to_le_bytes());
    file
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::packed;

    #[test]
    fn tar_reads_what_was_packed() {
        let large = vec![b'x'; 200_001];
        let parts =
            [("a.txt".to_owned(), b"hello\n".to_vec()), ("b.txt".to_owned(), large.clone())];
        let mut tar = Command::new("tar")
            .args(["-xzO", "hookbox/a.txt", "hookbox/b.txt"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tar runs");
        let mut input = tar.stdin.take().expect("a pipe");
        let bytes = packed(&parts);
        let writer = std::thread::spawn(move || input.write_all(&bytes));
        let read = tar.wait_with_output().expect("it ends");
        writer.join().expect("no panic").expect("written");
        assert!(read.status.success());
        assert_eq!(read.stdout, [b"hello\n".to_vec(), large].concat());
    }
}
