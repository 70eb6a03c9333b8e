//! Content hashes: how a prompt, a dataset or a model file is named beyond its name.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};

/// Lower-case hexadecimal SHA-256 of some bytes.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Hash of text that must not be guessable: HMAC-SHA256 under the configured key, or plain SHA-256 without one.
///
/// Short text can be recovered from its bare hash by trying candidates; a key that stays in the installation
/// prevents that. The prefix says which of the two it is.
pub fn of_text(text: &str, key: Option<&[u8]>) -> String {
    let Some(key) = key else { return format!("sha256:{}", sha256(text)) };
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    format!("hmac-sha256:{}", hex::encode(mac.finalize().into_bytes()))
}

/// The first 32 bits of [`of_text`]: enough to tell a few hundred texts apart.
pub fn short(text: &str, key: Option<&[u8]>) -> u32 {
    let hash = of_text(text, key);
    let digits = hash.rsplit(':').next().unwrap_or_default();
    u32::from_str_radix(&digits[..8], 16).expect("a hash has 64 hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(short("abc", None), 0xba78_16bf);
        // RFC 4231, test case 2.
        let keyed = of_text("what do ya want for nothing?", Some(b"Jefe"));
        assert_eq!(keyed, "hmac-sha256:5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
