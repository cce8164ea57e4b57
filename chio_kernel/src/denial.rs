//! Every reason to deny a call. A denial is an answer, not an error. Normative: the table in `docs/protocol.md`.

use std::fmt;

use chio_core::receipt::Receipt;

macro_rules! named {
    ($(#[$meta:meta])* pub enum $enum:ident { $($variant:ident = $name:literal,)* }) => {
        $(#[$meta])*
        pub enum $enum { $(#[doc = concat!("`", $name, "`")] $variant,)* }

        impl $enum {
            /// The name, as receipts and programs have it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        impl fmt::Display for $enum {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named! {
    /// Where in the pipeline a call was denied, in the order of the pipeline.
    /// Up to `proof.nonce` a denial proves nothing about anyone: a captured call comes as far without its key.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Step {
        Call = "call",
        Authority = "authority",
        Standing = "standing",
        ProofForm = "proof.form",
        ProofSchema = "proof.schema",
        ProofSender = "proof.sender",
        ProofBinding = "proof.binding",
        ProofFreshness = "proof.freshness",
        ProofSignature = "proof.signature",
        ProofNonce = "proof.nonce",
        Grants = "grants",
        Budget = "budget",
        Guards = "guards",
        Receipt = "receipt",
    }
}

named! {
    /// What a proof binds to the call.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Binding {
        CapabilityId = "capability_id",
        ToolServer = "tool_server",
        ToolName = "tool_name",
        ActionHash = "action_hash",
    }
}

macro_rules! denials {
    ($(
        $variant:ident $({ $($field:ident: $type:ty),* $(,)? })? = $code:literal, $step:ident, $public:expr, $($told:expr),+;
    )*) => {
        /// Why a call was denied. Exhaustive: a new reason is a new code of the protocol.
        ///
        /// `Display` is for operators. What a stranger may be told is [`Denial::public`]. Neither names a secret, a
        /// proof or the value of an argument; texts that the caller wrote are cut to 64 bytes. A token is named by
        /// its place in the chain, the root being 0.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Denial {
            $(
                #[doc = concat!("`", $code, "`")]
                #[allow(missing_docs)] // the fields are named for what they are, and shown by Display
                $variant $({ $($field: $type),* })?,
            )*
        }

        impl Denial {
            /// Every code, in the order of the protocol's table.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// The stable code.
            pub fn code(&self) -> &'static str {
                match self { $(Self::$variant $({ $($field: _),* })? => $code,)* }
            }

            /// The step of the pipeline at which it arose.
            #[allow(unreachable_patterns)] // these two arise at more than one
            pub fn step(&self) -> Step {
                match self {
                    Self::StoreUnavailable { step, .. } => *step,
                    Self::RootCeilingExceeded { ceiling: Ceiling::Grants } => Step::Grants,
                    $(Self::$variant $({ $($field: _),* })? => Step::$step,)*
                }
            }

            /// What a stranger may be told: nothing of the policy.
            pub fn public(&self) -> &'static str {
                match self { $(Self::$variant $({ $($field: _),* })? => $public,)* }
            }
        }

        impl fmt::Display for Denial {
            #[allow(unused_variables)] // not every text has a use for every number
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$variant $({ $($field),* })? => write!(f, $($told),+),)* }
            }
        }
    };
}

const CALL: &str = "The call was not understood.";
const CAPABILITY: &str = "The capability was not accepted.";
const STANDING: &str = "The caller is not welcome.";
const PROOF: &str = "The proof of possession was not accepted.";
const NOT_GRANTED: &str = "The capability does not cover this call.";
const BUSY: &str = "The call cannot be decided now. Try again later.";
const DENIED: &str = "The call was denied.";

denials! {
    MalformedCall { reason: String } = "malformed_call", Call, CALL, "the call cannot be read: {reason}";
    CallTooLarge { limit: usize } = "call_too_large", Call, CALL, "the call is over the limit of {limit}";
    UnknownToolServer { tool_server: String } = "unknown_tool_server", Grants, NOT_GRANTED,
        "there is no tool server `{tool_server}` here";
    UnknownTool { tool_server: String, tool_name: String } = "unknown_tool", Grants, NOT_GRANTED,
        "the tool server `{tool_server}` has no tool `{tool_name}`";

    CapabilityMalformed { reason: String } = "capability_malformed", Authority, CAPABILITY,
        "the capability chain cannot be read: {reason}";
    CapabilityIdMismatch { token: usize } = "capability_id_mismatch", Authority, CAPABILITY,
        "token {token} is not the one its id names";
    CapabilitySignatureInvalid { token: usize } = "capability_signature_invalid", Authority, CAPABILITY,
        "the signature of token {token} is not its issuer's";
    IssuerUntrusted { issuer: chio_core::crypto::PublicKey } = "issuer_untrusted", Authority, CAPABILITY,
        "the root is issued by {issuer}, which is no trust root of this kernel";
    CapabilityNotYetValid { token: usize, issued_at: u64, now: u64 } = "capability_not_yet_valid", Authority, CAPABILITY,
        "token {token} is valid from {issued_at}, and it is {now}";
    CapabilityExpired { token: usize, expires_at: u64, now: u64 } = "capability_expired", Authority, CAPABILITY,
        "token {token} expired at {expires_at}, and it is {now}";
    CapabilityAudienceMismatch { token: usize } = "capability_audience_mismatch", Authority, CAPABILITY,
        "token {token} is for an audience that is no name of this kernel";
    DelegationBroken { token: usize, reason: &'static str } = "delegation_broken", Authority, CAPABILITY,
        "token {token} does not follow from the one before it: {reason}";
    DelegationTooDeep { token: usize, max_depth: u64 } = "delegation_too_deep", Authority, CAPABILITY,
        "token {token} has a max_depth of {max_depth}, which is not smaller than that of the one before it";
    RootCeilingExceeded { ceiling: Ceiling } = "root_ceiling_exceeded", Authority, CAPABILITY,
        "the root gives more than its issuer may: {ceiling}";
    CapabilityRevoked { token: usize } = "capability_revoked", Authority, CAPABILITY,
        "token {token} or one of its keys is revoked";

    SubjectSuspended { until: u64 } = "subject_suspended", Standing, STANDING,
        "the subject or an issuer is suspended until {until}";
    SubjectBanned = "subject_banned", Standing, STANDING, "the subject or an issuer is banned";

    ProofMissing = "proof_missing", ProofForm, PROOF, "the call has no proof";
    ProofMalformed { reason: String } = "proof_malformed", ProofForm, PROOF, "the proof cannot be read: {reason}";
    ProofSchemaUnsupported { found: String } = "proof_schema_unsupported", ProofSchema, PROOF,
        "the proof has the schema `{found}`";
    ProofSenderMismatch = "proof_sender_mismatch", ProofSender, PROOF,
        "the proof is made by another key than the subject's";
    ProofBindingMismatch { member: Binding } = "proof_binding_mismatch", ProofBinding, PROOF,
        "the proof is for another `{member}`";
    ProofFromFuture { issued_at: u64, now: u64, max_clock_skew_secs: u64 } = "proof_from_future", ProofFreshness, PROOF,
        "the proof is dated {issued_at}, more than {max_clock_skew_secs} s after {now}";
    ProofExpired { issued_at: u64, now: u64, proof_ttl_secs: u64 } = "proof_expired", ProofFreshness, PROOF,
        "the proof is dated {issued_at}, more than {proof_ttl_secs} s before {now}";
    ProofPredatesKernel { issued_at: u64, accepted_after: u64 } = "proof_predates_kernel", ProofFreshness, PROOF,
        "the proof is dated {issued_at}; this kernel does not remember nonces from before it started, and takes proofs dated after {accepted_after} or with a nonce it gave out";
    ProofSignatureInvalid = "proof_signature_invalid", ProofSignature, PROOF,
        "the signature of the proof is not the subject's";
    NonceMalformed { bytes: usize } = "nonce_malformed", ProofNonce, PROOF,
        "the nonce has {bytes} bytes, and 1 to 256 are allowed";
    NonceReplayed = "nonce_replayed", ProofNonce, PROOF, "the proof was used before";
    NonceStoreFull = "nonce_store_full", ProofNonce, BUSY, "the nonce store is full of live nonces";
    NonceQuotaExceeded = "nonce_quota_exceeded", ProofNonce, BUSY,
        "the capability has as many live nonces as one may have";

    ToolNotGranted { token: usize } = "tool_not_granted", Grants, NOT_GRANTED, "token {token} does not grant this tool";
    ArgumentMissing { token: usize, pointer: String } = "argument_missing", Grants, NOT_GRANTED,
        "token {token}: the argument `{pointer}` is missing";
    ArgumentNotGranted { token: usize, pointer: String } = "argument_not_granted", Grants, NOT_GRANTED,
        "token {token}: the argument `{pointer}` is not granted";
    ArgumentConstraintViolated { token: usize, pointer: String, constraint_type: String } = "argument_constraint_violated", Grants, NOT_GRANTED,
        "token {token}: the argument `{pointer}` does not satisfy `{constraint_type}`";

    BudgetExhausted { token: usize } = "budget_exhausted", Budget, NOT_GRANTED, "token {token} has no calls left";
    GuardDenied { guard: String, reason: String } = "guard_denied", Guards, DENIED, "the guard `{guard}` denied it: {reason}";
    StoreUnavailable { store: &'static str, step: Step, reason: String } = "store_unavailable", Call, BUSY,
        "the {store} store: {reason}";
    ClockUnavailable = "clock_unavailable", Call, BUSY, "the clock cannot be read";
}

/// What an issuer may not give more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceiling {
    /// A longer life than this many seconds.
    Lifetime {
        /// The longest life, in seconds.
        max_seconds: u64,
    },
    /// A call outside of its grants.
    Grants,
}

impl fmt::Display for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lifetime { max_seconds } => write!(f, "a life of more than {max_seconds} s"),
            Self::Grants => f.write_str("this call"),
        }
    }
}

impl Denial {
    pub(crate) fn store_down(store: &'static str, step: Step, error: &impl fmt::Display) -> Self {
        Self::StoreUnavailable { store, step, reason: error.to_string() }
    }

    /// Whether anybody can cause it who can send bytes, or has captured a call and sends it again.
    pub fn is_before_proof(&self) -> bool {
        self.step() <= Step::ProofNonce
    }
}

/// A call that was denied. Nothing was dispatched.
#[derive(Clone, Debug, PartialEq)]
pub struct Denied {
    /// Why.
    pub denial: Denial,
    /// The receipt; none where such denials are only counted in this second, or it could not be written.
    pub receipt: Option<Box<Receipt>>,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.denial.code(), self.denial)
    }
}

impl std::error::Error for Denied {}
