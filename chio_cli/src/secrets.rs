//! What looks like a key, and so is never repeated: not in an error, not in a hint.

/// Whether a text is a private key, or starts like one: PEM, or the base64 or hex of PKCS#8.
pub(crate) fn is_private_key(text: &str) -> bool {
    const BASE64: [&str; 4] = ["MC4CAQ", "MFECAQ", "MIG", "MHcCAQ"];
    const HEX: [&str; 3] = ["302e0201", "30510201", "3081"];
    let text = text.trim_start();
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '\n');
    text.contains("PRIVATE KEY-----")
        || text.len() >= 60
            && (BASE64.iter().any(|start| text.starts_with(start)) && text.chars().all(is_base64)
                || HEX.iter().any(|start| text.starts_with(start)) && text.chars().all(|c| c.is_ascii_hexdigit()))
}

/// Whether a text could be a key of whatever kind: such as the 64 digits of a seed.
pub(crate) fn is_key(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    is_private_key(text)
        || text.contains("-----BEGIN")
        || digits.len() >= 48 && digits.chars().all(|c| c.is_ascii_hexdigit())
        || text.len() >= 43 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '=' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_names() {
        let keypair = chio_core::crypto::Keypair::generate().unwrap();
        let pem = keypair.to_pkcs8_pem().unwrap();
        let base64 = pem.lines().nth(1).unwrap();
        for text in [pem.as_str(), base64, &"0a".repeat(32), &"Zk9_".repeat(11)] {
            assert!(is_key(text));
        }
        for text in [pem.as_str(), base64] {
            assert!(is_private_key(text));
        }
        for text in ["agent.key", "/srv/a/deep/directory/with/a/long/name/and/a/file.key", "keys/MC4CAQ", ""] {
            assert!(!is_key(text) && !is_private_key(text), "{text}");
        }
        // A public key stands on the command line by right.
        assert!(!is_private_key(&keypair.public_key().to_string()));
    }
}
