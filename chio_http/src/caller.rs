//! Who calls, once it is proven.

/// Who calls. A guard puts it into the extensions of a request that it lets through, and nobody else: what comes from a
/// client are headers, never extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name of the scheme that it was proven by, such as `rfc9449`.
    pub scheme: &'static str,
    /// Who, as the kernel knows it: the key or the credential, under the scheme's name.
    pub principal: String,
    /// Who, as the issuer of the credential calls it.
    pub subject: Option<String>,
    /// What the credential is for, separated by spaces.
    pub scope: Option<String>,
    /// The sequence number of the receipt.
    pub receipt: Option<u64>,
}
