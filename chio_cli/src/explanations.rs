//! What each denial code means to whoever meets it. `docs/protocol.md` is the norm; this is the advice.

/// A denial code, explained.
#[derive(Debug)]
pub(crate) struct Explanation {
    pub(crate) code: &'static str,
    /// The step of the pipeline at which it arises.
    pub(crate) step: &'static str,
    /// What happened.
    pub(crate) what: &'static str,
    /// Why it is denied.
    pub(crate) why: &'static str,
    /// What to do about it.
    pub(crate) remedy: &'static str,
}

macro_rules! explanations {
    ($($code:ident at $step:literal: $what:literal $why:literal $remedy:literal)*) => {
        /// Every code, in the order of the protocol.
        pub(crate) const EXPLANATIONS: &[Explanation] = &[$(Explanation {
            code: stringify!($code), step: $step, what: $what, why: $why, remedy: $remedy,
        },)*];
    };
}

explanations! {
    malformed_call at "call":
        "The call cannot be read: it is not strict JSON of the right shape, or a name in it is empty or has control characters."
        "What two programs could read differently, such as a member that is named twice, would be checked as one thing and done as another."
        "Send the five members tool_server, tool_name, arguments, capability and proof, as `chio sign --whole` prints them. Look for duplicate members, numbers beyond 2^53−1 and bytes that are not UTF-8."
    call_too_large at "call":
        "The call, its arguments, its nesting or a name in it is over a limit of the kernel."
        "A kernel bounds what a stranger can make it read and keep."
        "Send less: 1 MiB of arguments and 64 levels are what a kernel takes unless its owner says otherwise. Pass a reference to large data instead of the data."
    unknown_tool_server at "grants":
        "The capability grants this tool server, and the kernel has none of that name."
        "There is nothing to dispatch the call to."
        "Check the spelling of the name, which is compared byte by byte, and that the call went to the right kernel."
    unknown_tool at "grants":
        "The capability grants this tool, and its tool server has none of that name."
        "There is nothing to dispatch the call to."
        "Check the spelling of the name, which is compared byte by byte. The owner of the kernel knows which tools the server has."
    capability_malformed at "authority":
        "The capability cannot be read: it is no chain of tokens in strict JSON, it is too long, a rule in it is not well formed, or one of its keys cannot be used."
        "A token that is half understood could be understood to allow more than it says."
        "`chio inspect FILE` says what is wrong and where. Then ask the issuer for one that is well formed."
    capability_id_mismatch at "authority":
        "The id of a token is not the digest of its contents."
        "The token was changed after it was issued, or its id was computed otherwise. Proofs bind the id, so the id has to be that of these very contents."
        "Present the token as it was issued, with no member added, changed or left out. If it came from elsewhere, ask for it again."
    capability_signature_invalid at "authority":
        "The signature of a token is not its issuer's."
        "The token was changed, or was not made by the key that it names as its issuer."
        "Present the token as it was issued. If you make tokens yourself: the signature covers the RFC 8785 bytes of the token with its id and without its signature."
    issuer_untrusted at "authority":
        "The first token of the chain is issued by a key that this kernel does not trust."
        "Anybody can issue a capability to themselves; it counts only where its issuer's word does."
        "Present the whole chain, from its root on. If the issuer is right, the owner of the kernel has to add its public key as a trust root (`--root`)."
    capability_not_yet_valid at "authority":
        "A token of the chain becomes valid later than now."
        "Its issuer set the time from which it can be used, or the clock of one of the two machines is wrong."
        "`chio inspect FILE` shows when it begins. Wait until then, or set the clocks."
    capability_expired at "authority":
        "A token of the chain is no longer valid."
        "Every token has an end, so that one that is lost or forgotten does no harm for long. The shortest-lived token of a chain ends all of it."
        "Get a new one: `chio issue`, or `chio attenuate` where only the last token has ended. `chio inspect FILE` shows the windows."
    capability_audience_mismatch at "authority":
        "A token of the chain is for a kernel of another name."
        "An audience keeps a call that was made for one kernel from being used at another that trusts the same issuer."
        "Call the kernel that it is for. If this is the one, its owner has to give it that name (`--name`)."
    delegation_broken at "authority":
        "A token does not follow from the one before it: it names another parent, or is issued by another key than the one before it was issued to."
        "Only the holder of a capability can hand it on, and every hop has to be on record."
        "Present the whole chain, root first, in order and with nothing left out. `chio attenuate` makes chains that hold."
    delegation_too_deep at "authority":
        "The max_depth of a token is not smaller than that of the token before it."
        "max_depth says how many tokens may follow. Each has to count down, so that its issuer decides how far it goes."
        "Hand on from a token with a higher max_depth, or ask for one: `chio issue --max-depth`."
    root_ceiling_exceeded at "authority, grants":
        "The first token lives longer than its issuer may let it, or the call is outside of what its issuer may grant."
        "The owner of the kernel has set a ceiling for what this trust root can give."
        "Issue a shorter token, or one within the ceiling. Else the owner of the kernel has to raise it."
    capability_revoked at "authority":
        "A token of the chain is revoked, or a key that issued or holds one is."
        "Somebody with the right to do so took it back. All that is derived from a revoked token goes with it."
        "Ask the issuer for a new one, and why this one was revoked. If you do not know, treat the key as lost."
    subject_suspended at "standing":
        "The caller, or an issuer of its chain, is suspended for a time."
        "The kernel's owner, or its response to replays and bad signatures, has set it aside."
        "Wait until the time that the denial names, or ask the owner of the kernel."
    subject_banned at "standing":
        "The caller, or an issuer of its chain, is banned."
        "The kernel's owner, or its response to replays and bad signatures, has shut it out."
        "Ask the owner of the kernel. It does not end by itself."
    proof_missing at "proof.form":
        "The call has no proof of possession."
        "A capability alone opens nothing: whoever calls has to show the key that it was issued to, for every call."
        "Sign the call: `chio sign`, and send what it prints as `proof`. If you did send one, see what took it out on the way."
    proof_malformed at "proof.form":
        "The proof cannot be read: it is over 8,192 bytes, is not strict JSON, or has other members than a proof has."
        "What is not understood whole is not taken as a proof of anything."
        "Send what `chio sign` prints, unchanged. `chio inspect FILE` says what is wrong and where."
    proof_schema_unsupported at "proof.schema":
        "The proof names another schema than this kernel reads."
        "The schema says what the signature covers. Another one would cover something else."
        "Make the proof with the schema chio.dpop_proof.v1. If the agent is newer than the kernel, update the kernel."
    proof_sender_mismatch at "proof.sender":
        "The proof was made with another key than the one the capability was issued to."
        "A capability is bound to one key. Whoever else has got hold of it cannot use it."
        "Sign with the key of the capability's subject (`chio inspect FILE` shows it). To let another key call, hand the capability on: `chio attenuate`."
    proof_binding_mismatch at "proof.binding":
        "The proof is for another capability, tool server, tool or other arguments than the call."
        "A proof is for one call. Captured, it cannot be aimed at anything else."
        "Sign exactly what is sent: the same names, and the same arguments, byte for byte in their RFC 8785 form. If they were changed on the way, find out by whom."
    proof_from_future at "proof.freshness":
        "The proof is dated further ahead of the kernel's clock than the allowed skew, 30 seconds unless the owner says otherwise."
        "A proof from the future could be kept, and used again after the kernel has forgotten it."
        "Set the clock of the agent's machine, and that of the kernel's."
    proof_expired at "proof.freshness":
        "The proof is older than a proof may be, 300 seconds unless the owner says otherwise."
        "A kernel remembers a used proof only for so long. After that it could not tell a replay."
        "Sign again, just before sending. If it was just signed, set the clocks."
    proof_predates_kernel at "proof.freshness":
        "The kernel started after this proof could have been made, and does not remember what was used before."
        "Its nonces are in memory alone, so it takes no proof that could have been used at its predecessor."
        "Sign again with a nonce that the kernel gives out, or wait half a minute and sign again. A kernel with a durable store has no such rule."
    proof_signature_invalid at "proof.signature":
        "The signature of the proof is not that of the capability's subject over this proof."
        "The proof was changed, or was made without the private key: by somebody who has the capability and not the key."
        "Sign the RFC 8785 bytes of `body` with the subject's key. If this was not you, somebody else has a copy of the capability; without the key it is of no use to them."
    nonce_malformed at "proof.nonce":
        "The nonce of the proof is empty or longer than 256 bytes."
        "A kernel remembers every nonce, so it bounds them."
        "Use 32 random hex digits, as `chio sign` does."
    nonce_replayed at "proof.nonce":
        "This proof, or another with the same nonce and capability, was used before."
        "Every call needs a proof of its own, so that a captured one is worth nothing."
        "Sign again: also when a call is repeated after a failure. If nobody here sent it twice, somebody has captured the call: look at who can read the traffic."
    nonce_store_full at "proof.nonce":
        "The kernel remembers as many live nonces as it has room for."
        "To forget one that is still fresh would let it be replayed. So it denies instead."
        "Try again in a while, with a new proof. The owner of the kernel can raise the capacity, and should see who calls so much."
    nonce_quota_exceeded at "proof.nonce":
        "The root capability has as many live nonces as one may have, an eighth of the store unless the owner says otherwise."
        "No holder of one capability can use up the room of all others."
        "Call more slowly: nonces are forgotten after some minutes. The owner of the kernel can raise the capacity."
    tool_not_granted at "grants":
        "A token of the chain does not grant this tool."
        "A call is allowed only if every token of the chain allows it, and what is not granted is denied."
        "`chio inspect FILE` shows what each token grants, and what is left of it. Ask for a capability that grants the tool; names are compared byte by byte."
    argument_missing at "grants":
        "An argument that the grant names is not in the call."
        "A rule for an argument says that it has to be there, unless it is optional."
        "Add the argument that the denial names. Whoever issues can make it optional."
    argument_not_granted at "grants":
        "The call has an argument that the grant does not name."
        "Rules for arguments are a closed world: one that nobody thought of could do something that nobody granted."
        "Leave the argument out, or ask for a capability that names it. Names are compared byte by byte, in their case."
    argument_constraint_violated at "grants":
        "An argument does not satisfy the rule for it, or the kernel does not know the type of the rule."
        "What a rule cannot decide it denies: a path with `..` in it, a URL that can be read in two ways, a type that only a newer kernel has."
        "`chio inspect FILE` shows the rules of every token; the value has to satisfy them all. Send one that does, in its plain form. If the type is unknown, update the kernel."
    budget_exhausted at "budget":
        "The grants of a token have no calls left."
        "max_invocations counts the calls with a token and with everything that was derived from it, so siblings share one budget."
        "Ask for a new capability. `chio inspect FILE` shows how many calls each token grants."
    guard_denied at "guards":
        "A guard of the kernel's owner said no, failed, or did not answer in time."
        "The capability allows the call; the owner has a rule of its own besides. A guard that fails denies."
        "Ask the owner of the kernel, whose log names the guard and its reason."
    store_unavailable at "any store":
        "A store of the kernel failed, has no room, or did not answer in time. The denial names which one, and at which step."
        "What cannot be remembered cannot be enforced: without its nonces a kernel could not tell a replay, without its receipts nobody would know."
        "Try again later with a new proof. The owner of the kernel looks at the store, and at the disk that it is on."
    clock_unavailable at "call":
        "The kernel's clock cannot be read."
        "Without the time it cannot know what is valid and what is fresh."
        "The owner of the kernel looks at the clock of its machine."
}

/// The explanation of a code.
pub(crate) fn explanation(code: &str) -> Option<&'static Explanation> {
    EXPLANATIONS.iter().find(|explanation| explanation.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chio_kernel::Denial;

    #[test]
    fn every_code_is_explained_in_the_order_of_the_protocol() {
        let codes: Vec<&str> = EXPLANATIONS.iter().map(|explanation| explanation.code).collect();
        assert_eq!(codes, Denial::CODES);
        let protocol = include_str!("../../docs/protocol.md");
        for Explanation { code, step, what, why, remedy } in EXPLANATIONS {
            let row = protocol.lines().find(|line| line.starts_with(&format!("| `{code}` | `{step}` |")));
            assert!(row.is_some(), "{code} at {step} is no row of docs/protocol.md");
            for text in [what, why, remedy] {
                assert!(text.ends_with('.') && text.len() > 30, "{code}: {text}");
            }
        }
    }
}
