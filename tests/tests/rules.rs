//! Rules that are taken out, one at a time, on a copy: the test that is named has to fail.
//!
//! It takes long, and so is left out unless it is asked for:
//! `cargo test -p chio_tests --test rules -- --ignored --nocapture`, and with `CHIO_RULES=chio_mcp,chio_store` those of some crates.

use std::path::Path;
use std::process::Command;

use chio_tests::repository;

/// What becomes of the code, the file, what stands there (once), what is put in its place, and which test finds it.
type Rule = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const RULES: &[Rule] = &[
    ("a nonce lives for the life of a proof alone", "chio_kernel/src/dpop.rs", "config.max_clock_skew_secs.saturating_add(config.proof_ttl_secs)", "config.proof_ttl_secs", "tests/tests/attacks.rs", "a_proof_dated_ahead_is_a_replay_for_as_long_as_it_is_fresh"),
    ("nonces are on the account of the leaf", "chio_kernel/src/authority.rs", "account: *first,", "account: *ids.last().unwrap_or(first),", "tests/tests/attacks.rs", "a_flood_by_one_holder_makes_room_for_no_replay_and_locks_nobody_out"),
    ("after a restart, the start alone is compared with", "chio_kernel/src/proof.rs", "let accepted_after = begun.saturating_add(self.config.max_clock_skew_secs);", "let accepted_after = begun;", "tests/tests/attacks.rs", "a_kernel_that_forgets_refuses_what_could_have_been_used_before_it_started"),
    ("any nonce with a dot counts as given out", "chio_kernel/src/proof.rs", "nonce.starts_with(epoch.as_str())", "nonce.contains('.') && !epoch.is_empty()", "tests/tests/attacks.rs", "a_nonce_that_the_kernel_gave_out_is_taken_at_once_and_by_no_other_kernel"),
    ("the clock runs backwards", "chio_kernel/src/clock.rs", "Ok(self.latest.fetch_max(now, Ordering::SeqCst).max(now))", "self.latest.store(now, Ordering::SeqCst); Ok(now)", "tests/tests/attacks.rs", "a_clock_set_back_makes_nothing_fresh_again"),
    ("an id need not be that of the contents", "chio_kernel/src/authority.rs", "if at.id.parse() != Ok(id) {", "if false {", "tests/tests/attacks.rs", "a_token_cannot_be_given_other_grants_or_be_relayed"),
    ("audiences are not checked", "chio_kernel/src/authority.rs", "self.check_audiences(&tokens)?;", "", "tests/tests/attacks.rs", "a_token_cannot_be_given_other_grants_or_be_relayed"),
    ("a token need not be issued by the subject above it", "chio_kernel/src/authority.rs", "if below.issuer != above.subject {", "if false {", "tests/tests/attacks.rs", "a_chain_with_a_link_missing_swapped_or_signed_by_another_is_broken"),
    ("the leaf alone has to grant the call", "chio_kernel/src/grants.rs", "in authority.layers.iter().enumerate() {", "in authority.layers.iter().enumerate().skip(authority.layers.len().saturating_sub(1)) {", "tests/tests/attacks.rs", "a_child_that_grants_more_gains_nothing"),
    ("the leaf alone has to be valid", "chio_kernel/src/authority.rs", "check_windows(tokens.iter().map(CapabilityToken::window), now)?;", "check_windows(tokens.last().into_iter().map(CapabilityToken::window), now)?;", "tests/tests/attacks.rs", "a_child_that_grants_more_gains_nothing"),
    ("keys of small order are taken", "chio_core/src/crypto/ed25519.rs", "if key.is_weak() {", "if false {", "tests/tests/attacks.rs", "weak_keys_and_damaged_signatures_are_refused"),
    ("a nonce is remembered with its signature", "chio_kernel/src/proof.rs", "self.spend(authority.capability_id(), &proof.body.nonce,", r#"self.spend(&format!("{}{}", authority.capability_id(), proof.signature), &proof.body.nonce,"#, "tests/tests/attacks.rs", "the_other_signature_of_an_ecdsa_proof_is_a_replay"),
    ("a member may be named twice", "chio_core/src/canonical/value.rs", "unique.then_some(Self(members))", "let _ = unique; Some(Self(members))", "tests/tests/attacks.rs", "what_two_parsers_could_read_differently_is_refused_in_constant_stack"),
    ("nesting is not limited", "chio_core/src/canonical/lexer.rs", "if self.open >= self.depth {", "if self.open >= usize::MAX {", "tests/tests/attacks.rs", "what_two_parsers_could_read_differently_is_refused_in_constant_stack"),
    ("names of arguments are compared in lower case", "chio_core/src/capability/grant.rs", "child.0.as_str().cmp(token)", "child.0.as_str().cmp(token.to_lowercase().as_str())", "tests/tests/attacks.rs", "a_member_of_another_case_is_another_member"),
    ("what a stranger wrote is not cut", "chio_core/src/error.rs", "if out.len().saturating_add(c.len_utf8()) > LONGEST {", "if false {", "tests/tests/attacks.rs", "no_more_than_64_bytes_of_what_a_stranger_wrote_are_kept"),
    ("a nonce may be empty or long", "chio_kernel/src/dpop.rs", "nonce.is_empty() || nonce.len() > MAX_NONCE_BYTES", "nonce.len() > 10 * MAX_NONCE_BYTES", "tests/tests/attacks.rs", "no_more_than_64_bytes_of_what_a_stranger_wrote_are_kept"),
    ("calls are not counted", "chio_kernel/src/store/memory.rs", "count.calls = count.calls.saturating_add(1);", "count.calls = count.calls.saturating_add(0);", "tests/tests/attacks.rs", "two_calls_racing_for_the_last_one_get_it_once"),
    ("calls are counted on the leaf", "chio_kernel/src/grants.rs", "grant: Digest::of_parts(&[layer.id.as_bytes(),", "grant: Digest::of_parts(&[authority.layers.last().unwrap_or(layer).id.as_bytes(),", "tests/tests/attacks.rs", "children_share_what_their_parent_has"),
    ("a guard that gives no answer allows", "chio_kernel/src/guard.rs", r#"Err(lapse) => format!("it {lapse}"),"#, "Err(_) => continue,", "tests/tests/attacks.rs", "what_breaks_denies_and_nothing_is_dispatched"),
    ("a store of standings that fails allows", "chio_kernel/src/standing.rs", r#"Err(error) => Err(Denial::store_down("standing", Step::Standing, &error)),"#, "Err(_) => Ok(()),", "tests/tests/threats.rs", "a_store_that_fails_in_whatever_way_denies_and_nothing_is_dispatched"),
    ("a store of counts that gives no answer allows", "chio_kernel/src/budget.rs", "Err(error) => error,", "Err(_) => return Ok(PaidCall { proven: covered.proven, spent: Vec::new() }),", "tests/tests/threats.rs", "a_store_that_fails_in_whatever_way_denies_and_nothing_is_dispatched"),
    ("the first guard decides", "chio_kernel/src/guard.rs", "Ok(Ok(GuardAnswer::Allow)) => continue,", "Ok(Ok(GuardAnswer::Allow)) => return Ok(()),", "tests/tests/threats.rs", "every_guard_is_asked_and_a_later_no_counts"),
    ("a chain that was seen does not expire", "chio_kernel/src/authority.rs", "check_windows(facts.layers.iter().map(|layer| layer.window), now)?;", "", "tests/tests/threats.rs", "a_chain_that_was_seen_before_expires_all_the_same"),
    ("a chain that ends like one that was seen is taken for it", "chio_kernel/src/authority.rs", "seen.filter(|facts| facts.text == chain)", "seen", "tests/tests/attacks.rs", "a_chain_that_ends_like_one_that_was_verified_is_not_that_one"),
    ("a token is believed to be what its signature covers", "chio_core/src/capability/token.rs", "if ordered_json_bytes(&token)? != text && canonical_json_bytes(&token)? != text {", "if false {", "chio_core/src/capability/token.rs", "what_is_read_is_what_was_signed"),
    ("a token may have any schema", "chio_core/src/capability/token.rs", "if schema != CAPABILITY_SCHEMA {", "if false {", "tests/tests/threats.rs", "a_document_of_another_schema_is_refused"),
    ("the cache of chains is not bounded", "chio_kernel/src/authority.rs", "if self.bytes <= self.max_bytes {", "if self.bytes <= usize::MAX {", "chio_kernel/src/authority.rs", "the_cache_is_bounded_and_drops_what_was_used_longest_ago"),
    ("a revoked issuer still issues", "chio_kernel/src/authority.rs", "flat_map(|(id, issuer)| [*id, *issuer])", "flat_map(|(id, _)| [*id, *id])", "tests/tests/attacks.rs", "a_revoked_token_or_key_takes_everything_derived_with_it"),
    ("a revoked subject still calls", "chio_kernel/src/authority.rs", ".chain(principals.first().copied())", "", "tests/tests/attacks.rs", "a_revoked_token_or_key_takes_everything_derived_with_it"),
    ("a subject's mode counts before it is proven", "chio_kernel/src/kernel.rs", "found.authority(&authority);", "found.authority(&authority);
        found.subject_mode = parts.mode_of_subject(authority.principal());", "tests/tests/embedding.rs", "a_subjects_mode_counts_for_its_proven_calls_alone"),
    ("a name that is not proven is passed on", "chio_kernel/src/kernel.rs", ".filter(|_| found.is_proven)", "", "tests/tests/embedding.rs", "report_mode_verifies_records_and_allows"),
    ("a trust root's ceiling is not asked", "chio_kernel/src/grants.rs", "if !granted {", "if false && !granted {", "tests/tests/embedding.rs", "a_ceiling_holds_whatever_its_issuer_signs"),
    ("a scheme may speak of any principal", "chio_kernel/src/scheme.rs", r#"self.principal = format!("scheme:{scheme}:{}", self.principal);"#, "let _ = scheme;", "tests/tests/embedding.rs", "another_scheme_has_the_same_replay_grants_budget_and_receipts"),
    ("a count is forgotten with a child", "chio_kernel/src/grants.rs", "until = until.min(layer.window.expires_at);", "until = until.min(authority.layers.iter().map(|layer| layer.window.expires_at).min().unwrap_or(0));", "tests/tests/embedding.rs", "a_count_outlives_a_child_that_expires_early"),
    ("a count is kept for as long as its own token says", "chio_kernel/src/grants.rs", "until = until.min(layer.window.expires_at);", "until = layer.window.expires_at;", "tests/tests/embedding.rs", "a_count_is_forgotten_with_the_token_above_it"),
    ("arguments may name what is private to serde_json", "chio_core/src/digest.rs", r#"if self.canonical.windows(21).any(|window| window == b"$serde_json::private:") {"#, "if false {", "tests/tests/embedding.rs", "a_tool_reads_no_other_value_than_was_decided_on"),
    ("arguments may grow over the limit in canonical form", "chio_core/src/digest.rs", "if canonical.len() > limits.bytes {", "if false {", "tests/tests/embedding.rs", "a_tool_reads_no_other_value_than_was_decided_on"),
    ("a token may name any number of places", "chio_core/src/capability/token.rs", "> MAX_PLACES {", "> usize::MAX {", "tests/tests/embedding.rs", "a_token_names_no_more_places_than_a_kernel_has_room_for"),
    ("a guard's no is not given back", "chio_kernel/src/kernel.rs", "            parts.budget.refund(&paid.spent).await;
            return Err(denial);", "            return Err(denial);", "tests/tests/embedding.rs", "a_call_that_never_reached_its_tool_is_given_back"),
    ("each denial of a stranger has a receipt", "chio_kernel/src/receipts.rs", "let admitted = self.written < self.per_second;", "let admitted = true;", "tests/tests/receipts.rs", "a_flood_of_unproven_denials_buys_a_bounded_number_of_receipts"),
    ("receipts need not follow each other", "chio_audit/src/lib.rs", "if body.previous != self.report.head.map(|head| head.digest) {", "if false {", "tests/tests/receipts.rs", "every_edit_drop_swap_and_splice_is_found"),
    ("a receipt may be another kernel's", "chio_audit/src/lib.rs", "!= &body.kernel_key {", "!= &body.kernel_key && false {", "tests/tests/receipts.rs", "a_receipt_of_another_kernel_is_found"),
    ("any later end of the chain is signed over", "chio_kernel/src/receipts.rs", "if !ends.contains(&head) {", "if ends.last().copied().flatten().map(|end| end.sequence) > head.map(|head| head.sequence) {", "tests/tests/stores.rs", "no_receipt_that_another_hand_adds_is_signed_over"),
    ("strangers fill the log", "chio_kernel/src/kernel.rs", r#"tracing::debug!(code = denial.code(), "denied: {denial}"),"#, r#"tracing::info!(code = denial.code(), "denied: {denial}"),"#, "tests/tests/tracing.rs", "a_stranger_writes_nothing_into_a_log_at_its_usual_level"),
    ("whether a tool exists is told before the grants", "chio_kernel/src/kernel.rs", "        let covered = CoveredCall::new(proven, &definition)?;
        parts.check_exists(covered.proven.call())?;", "        parts.check_exists(proven.call())?;
        let covered = CoveredCall::new(proven, &definition)?;", "tests/tests/order.rs", "of_two_faults_the_earlier_step_answers"),
    ("the standing of issuers is not asked", "chio_kernel/src/authority.rs", "std::iter::once(&leaf.subject).chain(tokens.iter().map(|token| &token.issuer))", "std::iter::once(&leaf.subject).chain(tokens.iter().map(|token| &token.subject))", "tests/tests/vectors.rs", "every_vector_is_answered_as_it_says"),
    ("a trust root's longest life is not checked", "chio_kernel/src/authority.rs", "check_lifetime(&tokens, root)?;", "", "tests/tests/vectors.rs", "every_vector_is_answered_as_it_says"),
    ("a chain may grow as it likes", "chio_kernel/src/authority.rs", "if below.max_depth >= above.max_depth {", "if false {", "tests/tests/vectors.rs", "every_vector_is_answered_as_it_says"),
    ("a tool is given the arguments as they were sent", "chio_core/src/digest.rs", "let canonical = canonical.into_owned();", "drop(canonical); let canonical = text.to_vec();", "tests/tests/embedding.rs", "a_call_reaches_its_tool_in_canonical_bytes"),
    ("a call that comes late finds its nonce unspent", "chio_kernel/src/store/nonces.rs", "if now < self.complete_from {", "if false {", "chio_kernel/src/store/nonces.rs", "a_call_that_comes_late_finds_no_forgotten_nonce_unspent"),
    ("the nonce store is never full", "chio_kernel/src/store/nonces.rs", "(self.queue.len() >= self.limits.nonces).then_some(NonceAnswer::Full)", "None", "chio_kernel/src/store/nonces.rs", "full_means_deny_and_only_the_expired_make_room"),
    ("a suspension takes a ban's place", "chio_kernel/src/store/memory.rs", "standings.insert(principal, worse(before.unwrap_or(Standing::Good), standing, now));", "standings.insert(principal, standing);", "tests/tests/stores.rs", "a_suspension_takes_no_bans_place_and_shortens_none"),
    ("a replay bans its victim by default", "chio_kernel/src/config.rs", "            replay: Response::Report,", "            replay: Response::Ban,", "tests/tests/embedding.rs", "attacks_lead_to_what_is_configured_and_by_default_to_nothing"),
    ("a path need only begin with the root", "chio_predicates/src/path.rs", "rest.is_empty() || rest.starts_with('/')", r#"!rest.contains('\n')"#, "tests/tests/attacks.rs", "no_spelling_of_a_path_leads_out"),
    ("a token need not name its parent", "chio_kernel/src/authority.rs", "if below.parent.as_ref() != Some(&above.id) {", "if false {", "tests/tests/vectors.rs", "every_vector_is_answered_as_it_says"),
    ("long values are compared for nothing", "chio_core/src/capability/constraint.rs", "effort.spend(bytes.len().div_ceil(4)).then(|| Digest::of(&bytes))", "Some((effort.spend(0), Digest::of(&bytes)).1)", "tests/tests/threats.rs", "a_long_value_is_not_looked_at_for_ever"),
    ("standings in memory grow without end", "chio_kernel/src/store/memory.rs", r#"return Box::pin(ready(Err(KernelError::new("there is no room for another standing"))));"#, "", "tests/tests/stores.rs", "attacks_lead_to_a_bounded_number_of_standings"),
    ("receipts in memory grow without end", "chio_kernel/src/store/memory.rs", "kept.receipts.pop_front();", "", "tests/tests/threats.rs", "receipts_in_memory_are_bounded"),
    ("a setting allows longer chains", "chio_kernel/src/authority.rs", ".min(MAX_CHAIN_BYTES)", "", "tests/tests/threats.rs", "no_setting_makes_a_kernel_read_a_longer_chain"),
    ("a summary that fails is tried again for each denial", "chio_kernel/src/receipts.rs", "let (admitted, suppressed) = lock(&self.unproven).admit(now);
        self.summarise(suppressed, now).await?;", "let suppressed = lock(&self.unproven).take_suppressed(now);
        self.summarise(suppressed, now).await?;
        let (admitted, _) = lock(&self.unproven).admit(now);", "tests/tests/stores.rs", "a_full_disk_does_not_make_a_strangers_denials_dear"),
    ("any end of the chain is signed over", "chio_kernel/src/receipts.rs", "if !ends.contains(&head) {", "if false {", "tests/tests/stores.rs", "a_chain_that_is_cut_under_a_running_kernel_is_not_signed_over"),
    ("an end of the chain that was not confirmed is forgotten", "chio_kernel/src/receipts.rs", "ends.push(Some(next));", "*ends = vec![Some(next)];", "tests/tests/stores.rs", "a_group_of_receipts_that_is_kept_late_or_lost_does_not_stop_the_chain"),
    ("ends before the confirmed one stay good", "chio_kernel/src/receipts.rs", "ends.retain(|end| end.map(|end| end.sequence) >= made.map(|made| made.sequence));", "", "tests/tests/stores.rs", "a_chain_that_is_cut_under_a_running_kernel_is_not_signed_over"),
    ("a nonce is spent before the proof is verified", "chio_kernel/src/proof.rs", "        dpop::check(&proof,", "        self.spend(authority.capability_id(), &proof.body.nonce, authority.facts().account, now).await?;
        dpop::check(&proof,", "tests/tests/threats.rs", "a_nonce_is_spent_whatever_becomes_of_the_call"),
    ("in report mode a call goes out without a receipt", "chio_kernel/src/kernel.rs", "            Err(error) => {
                parts.budget.refund(&spent).await;", "            Err(error) => {
                if unenforced.is_some() { let body = chio_core::receipt::Receipt::append(None, now, Event::Summary(chio_core::receipt::Summary::default()), &*parts.ledger.key).map_err(|_| Denied { denial: Denial::ClockUnavailable, receipt: None })?.0; let (kernel, started) = (self.clone(), Instant::now()); return Ok(AuthorizedCall { kernel, call, principal, spent, unenforced, receipt: body, now, started }); }
                parts.budget.refund(&spent).await;", "tests/tests/threats.rs", "no_mode_dispatches_a_call_whose_receipt_cannot_be_written"),
    ("a stranger is told what is not granted", "chio_kernel/src/denial.rs", r#"Grants, NOT_GRANTED, "token {token} does not grant this tool""#, r#"Grants, "The tool 7 is not granted.", "token {token} does not grant this tool""#, "tests/tests/threats.rs", "a_stranger_is_told_nothing_of_the_policy"),
    ("a mark that turns a line is told", "chio_core/src/error.rs", r#"'\u{61c}' | "#, "", "tests/tests/threats.rs", "what_turns_a_line_around_is_not_told"),
    ("a pinned definition is not compared", "chio_kernel/src/grants.rs", "definition() == Some(pinned)", "{ let _ = (definition, pinned); true }", "tests/tests/mcp/lists.rs", "a_tool_whose_definition_changes_is_denied_where_it_is_pinned"),
    ("what was spent before a restart is not read", "chio_store/src/sqlite/mod.rs", "|claim| nonces.remember(&claim)", "|_| ()", "tests/tests/state/kernels.rs", "a_replay_after_a_restart_is_a_replay"),
    ("what was forgotten is fresh again", "chio_store/src/sqlite/mod.rs", "claim.now < self.complete_from", "false && claim.now < self.complete_from", "tests/tests/state/kernels.rs", "what_was_forgotten_is_not_fresh_again_when_the_clock_is_set_back"),
    ("a new file remembers all", "chio_store/src/sqlite/mod.rs", "Some(self.remembers_since.load(Ordering::SeqCst))", "None", "tests/tests/state/kernels.rs", "a_file_that_is_new_remembers_nothing_from_before_it"),
    ("two kernels have one file", "chio_store/src/sqlite/open.rs", "match lock.try_lock() {", "match lock.try_lock().or(Ok::<(), TryLockError>(())) {", "tests/tests/state/files.rs", "one_kernel_has_a_file_and_the_second_hears_who"),
    ("changes by hand are not seen", "chio_store/src/sqlite/known.rs", "changes != Ok(self.told().changes)", "drop(changes) != ()", "tests/tests/state/by_hand.rs", "what_is_changed_by_hand_counts_for_the_next_call"),
    ("whoever stands beside a kernel spends", "chio_store/src/sqlite/mod.rs", "if self.ownership.is_ours() { Ok(()) }", "if true { Ok(()) }", "tests/tests/state/by_hand.rs", "what_is_changed_by_hand_counts_for_the_next_call"),
    ("an import is taken for all that was spent", "chio_store/src/sqlite/by_hand.rs", "self.opened_at.max(", "0.min(", "tests/tests/state/by_hand.rs", "after_nonces_are_put_in_proofs_from_before_are_refused"),
    ("an export makes a standing better", "chio_store/src/sqlite/desk.rs", "|was| worse(was, standing)", "|_| standing", "tests/tests/state/by_hand.rs", "what_is_taken_out_can_be_put_in_elsewhere_and_nothing_becomes_weaker"),
    ("a count does not survive", "chio_store/src/sqlite/desk.rs", "self.add_calls(one.grant, one.account, 1, one.until)", "self.add_calls(one.grant, one.account, 0, one.until)", "tests/tests/state/kernels.rs", "budgets_revocations_and_standings_survive"),
    ("the receipts of another kernel are gone on with", "chio_store/src/sqlite/mod.rs", "&& expected.to_string() != *found", "&& false", "tests/tests/state/files.rs", "the_receipts_of_another_kernel_are_not_gone_on_with"),
    ("a crash is passed over", "chio_kernel/src/receipts.rs", "if suppressed == 0 && unfinished.is_empty() {", "if suppressed == 0 {", "tests/tests/state/kernels.rs", "the_chain_of_receipts_goes_on_and_says_what_a_crash_left_open"),
    ("a nonce that was given out before a loss is taken", "chio_kernel/src/proof.rs", "since == self.since && self.epoch", "self.epoch", "tests/tests/state/by_hand.rs", "after_nonces_are_put_in_proofs_from_before_are_refused"),
    ("two names of a file have two locks", "chio_store/src/sqlite/open.rs", "path.canonicalize().or_else", "Ok::<_, std::io::Error>(path.to_owned()).or_else", "tests/tests/state/files.rs", "by_whatever_name_a_file_has_one_kernel"),
    ("a kernel that has lost its file goes on", "chio_store/src/sqlite/desk.rs", r#"&& number(&self.connection, "owner")? != owner"#, "&& owner == 0", "tests/tests/state/files.rs", "by_whatever_name_a_file_has_one_kernel"),
    ("proofs that live longer begin nothing anew", "chio_store/src/sqlite/open.rs", "BETWEEN 1 AND ?2 - 1", "BETWEEN 1 AND ?2 - 1 AND 1 = 0", "tests/tests/state/kernels.rs", "proofs_that_live_longer_than_before_begin_anew"),
    ("a list is not verified", "chio_store/src/list.rs", "issuer.verify(&signed, &signature)", "true", "tests/tests/cli_state.rs", "a_list_of_revocations_goes_from_one_state_to_another_and_never_back"),
    ("a longer life of another kernel is not heeded", "chio_store/src/redis/link.rs", "claim.until.saturating_add(self.longer.load(Ordering::SeqCst))", "claim.until", "tests/tests/redis/places.rs", "the_longest_life_of_a_proof_counts_for_all_kernels"),
    ("a longer life begins no epoch", "chio_store/src/redis/lua/begin.lua", " and tonumber(life) >= tonumber(ARGV[4]) then", " then", "tests/tests/redis/places.rs", "the_longest_life_of_a_proof_counts_for_all_kernels"),
    ("keys that have moved are asked for where they were", "chio_store/src/redis/failure.rs", "ErrorKind::Server(Ask | ClusterDown | MasterDown | Moved | NoPerm | ReadOnly)", "ErrorKind::Server(Ask | ClusterDown | MasterDown | NoPerm | ReadOnly)", "tests/tests/redis/places.rs", "the_node_of_a_cluster_that_has_the_keys_is_found"),
    ("an account that was entered once is never entered again", "chio_store/src/redis/nonces.rs", "is_some_and(|until| claim.now <= *until)", "is_some()", "tests/tests/redis/places.rs", "nothing_that_was_spent_stays_for_ever"),
    ("what Redis has lost is not noticed", "chio_store/src/redis/nonces.rs", "(_, Some(id), Some(_)) if *id == *live.epoch && now > link.adopted() => {", "(_, _, _) if now > 0 => {", "tests/tests/redis/faults.rs", "an_emptied_redis_is_noticed_by_every_kernel"),
    ("another run of Redis remembers what it does not", "chio_store/src/redis/lua/begin.lua", "and epoch[3] == ARGV[3] and", "and", "tests/tests/redis/faults.rs", "a_killed_redis_that_comes_back_with_an_older_state_is_noticed"),
    ("an account has no quota in Redis", "chio_store/src/redis/nonces.rs", "held <= link.options.account_quota", "held <= u64::MAX", "tests/tests/redis/stores.rs", "a_nonce_is_spent_once_and_an_account_has_its_quota"),
    ("a Redis that drops keys is trusted", "chio_store/src/redis/server.rs", "Some(policy) => Err(ConnectError::Eviction(policy.to_owned())),", "Some(_) => Ok(()),", "tests/tests/redis/faults.rs", "a_redis_that_drops_keys_is_refused"),
    ("a replica takes what its primary has not", "chio_store/src/redis/server.rs", "if self.is_replica {", "if false {", "tests/tests/redis/places.rs", "of_several_hosts_the_first_that_takes_writes_counts"),
    ("replicas need not have it", "chio_store/src/redis/nonces.rs", "        link.replicated(&live, deadline).await?;\n        if link", "        if link", "tests/tests/redis/stores.rs", "enough_replicas_have_to_have_it"),
    ("a chain of receipts is forked in Redis", "chio_store/src/redis/lua/append.lua", "if (head[1] or '') ~= ARGV[1] or (head[2] or '') ~= ARGV[2] then", "if false then", "tests/tests/redis/receipts.rs", "a_stale_end_of_the_chain_is_not_appended_to"),
    ("a clock ahead forgets for the others", "chio_store/src/redis/link.rs", "number(now.saturating_sub(self.options.clock_tolerance_secs).saturating_sub(GRACE))", "number(now)", "tests/tests/redis/kernels.rs", "a_kernel_whose_clock_is_20_seconds_ahead_forgets_nothing_that_the_other_could_take"),
    ("an older file loses what was spent", "chio_store/src/sqlite/open.rs", "SELECT until, CAST(key || account || unhex(printf('%016x', until)) AS BLOB) FROM nonce ORDER BY number;", "SELECT until, x'' FROM nonce;", "tests/tests/state/files.rs", "a_file_of_an_older_version_is_brought_up_and_nothing_of_it_is_lost"),
    ("what a clock far ahead wrote keeps the rest", "chio_store/src/sqlite/desk.rs", "} else if until < before.saturating_add(FAR) {", "} else {", "tests/tests/state/kernels.rs", "what_a_clock_far_ahead_wrote_does_not_keep_the_rest"),
    ("a group's nonces are not written", "chio_store/src/sqlite/desk.rs", "        self.keep_sheet()?;\n        if self.swept", "        if self.swept", "tests/tests/state/kernels.rs", "a_replay_after_a_restart_is_a_replay"),
    ("a proof is for any method", "chio_http/src/dpop.rs", "if htm != asked.method {", "if false {", "tests/tests/http/attacks.rs", "a_proof_for_another_method_path_or_host"),
    ("a proof is for any URL", "chio_http/src/dpop.rs", "if !asked.origin.is_htu(htu, asked.path) {", "if false {", "tests/tests/http/attacks.rs", "a_proof_for_another_method_path_or_host"),
    ("a proof is for any query", "chio_http/src/dpop.rs", "if !is_its_query {", "if false {", "tests/tests/http/attacks.rs", "another_query_where_the_proof_covers_it"),
    ("a proof need not name its token", "chio_http/src/dpop.rs", "if needs_ath && !self.names_token {", "if false {", "chio_http/src/dpop.rs", "each_check_has_its_answer"),
    ("a token is anybody's who has a key", "chio_http/src/dpop.rs", "if self.key == key { Ok(()) } else { Err(ProofError::Binding) }", "let _ = key; Ok(())", "tests/tests/http/attacks.rs", "a_stolen_token_with_another_key_or_without_a_proof"),
    ("a proof may be of any age", "chio_http/src/dpop.rs", "if has_ended || now > issued_at.saturating_add(max_age_secs) {", "if has_ended {", "chio_http/src/dpop.rs", "a_proof_is_fresh_within_a_window_and_its_own"),
    ("a signature of JOSE need not hold", "chio_http/src/jws.rs", "if !holds {", "if false {", "chio_http/src/jws.rs", "what_is_signed_verifies_under_its_key_alone"),
    ("critical extensions are passed over", "chio_http/src/jws.rs", r#"["crit", "b64", "zip"]"#, r#"["b64", "zip"]"#, "chio_http/src/jws.rs", "no_algorithm_but_those_allowed_and_no_extension"),
    ("a private key passes for a public one", "chio_http/src/jwk.rs", "if object.iter().any(|(name, _)| SECRET_MEMBERS.contains(&name)) {", "if false {", "chio_http/src/jwk.rs", "what_is_no_public_key_for_signatures_is_refused"),
    ("a token for others counts", "chio_http/src/issuer.rs", r#"if !has(&claims, "aud", &issuer.audiences)? {"#, "if false {", "tests/tests/http/attacks.rs", "a_token_that_is_changed_expired_for_others_or_of_another_kind"),
    ("a key of an answer need not be covered", "chio_http/src/guard.rs", "Ok(Some(_)) if !opened.covers_response_key() =>", "Ok(Some(_)) if false =>", "tests/tests/http/sealed.rs", "a_key_that_the_proof_does_not_cover_is_refused_and_so_is_one_that_is_missing"),
    ("a proof may cover another key of an answer", "chio_http/src/dpop.rs", "(covered, sent) if covered == sent => Ok(true),", "_ => Ok(true),", "tests/tests/http/sealed.rs", "a_key_that_the_proof_does_not_cover_is_refused_and_so_is_one_that_is_missing"),
    ("keys of low order are sealed for", "chio_http/src/response_key.rs", "Ok(32) if is_strong(bytes) =>", "Ok(32) =>", "chio_http/src/response_key.rs", "it_is_one_key_of_the_right_length_that_somebody_can_have"),
    ("a sealed answer is for any request", "chio_http/src/sealed.rs", "if said != request {", "if false {", "tests/tests/http/sealed.rs", "the_answer_to_another_request_of_the_same_client_is_not_taken"),
    ("answers need not be sealed where that is required", "chio_http/src/guard.rs", "Ok(None) if is_required =>", "Ok(None) if false && is_required =>", "tests/tests/http/sealed.rs", "where_it_is_required_nobody_is_answered_otherwise"),
    ("streams of events are held back to be sealed", "chio_http/src/sealed.rs", "if streams || parts.status.is_informational() {", "if parts.status.is_informational() {", "tests/tests/http/sealed.rs", "what_cannot_be_sealed_is_not_sent_and_what_has_no_body_gets_one"),
    ("room to seal is not counted", "chio_http/src/guard.rs", "key.map(|_| guard.room.of(longest_answer))", "key.map(|_| guard.room.of(0 * longest_answer))", "tests/tests/http/sealed.rs", "no_more_answers_are_held_than_there_is_room_for"),
    ("what is off is opened", "chio_http/src/guard.rs", "(Some(scheme), mode) if mode != Some(Mode::Off) => {", "(Some(scheme), _) => {", "tests/tests/http/rollout.rs", "a_profile_counts_where_the_token_holds_and_off_asks_for_nothing"),
    ("what is off is verified", "chio_http/src/scheme.rs", "if attempt.mode == Some(Mode::Off) {", "if false {", "tests/tests/http/rollout.rs", "a_profile_counts_where_the_token_holds_and_off_asks_for_nothing"),
    ("two `Authorization` pass where nothing is enforced", "chio_http/src/authorization.rs", "if values.next().is_some() {", "if false {", "tests/tests/http/rollout.rs", "what_is_not_enforced_goes_on_as_it_came_and_says_nobody_who_is_not_proven"),
    ("credentials go on where the mode is enforced", "chio_http/src/guard.rs", "let is_bare = is_enforced || ", "let is_bare = ", "tests/tests/http/rollout.rs", "what_is_not_enforced_goes_on_as_it_came_and_says_nobody_who_is_not_proven"),
    ("a rule for a scheme is for whoever presents nothing", "chio_http/src/rollout.rs", "named.is_none() || named.as_deref() == it;", "named.is_none() || it.is_none() || named.as_deref() == it;", "tests/tests/http/rollout.rs", "no_header_chooses_a_laxer_mode"),
    ("a scheme has no say in the mode", "chio_http/src/scheme.rs", "        attempt.mode
", "        None
", "tests/tests/http/rollout.rs", "each_mode_for_each_scheme_and_route"),
    ("a rule that never counts is taken", "chio_http/src/gateway/config/rollout.rs", "if with.rule.iter().take(index).any(|before| covers(&before)) {", "if false {", "chio_http/src/gateway/config/rollout.rs", "rules_that_are_for_nothing_are_found"),
    ("there may be several proofs", "chio_http/src/rfc9449.rs", "if proofs.next().is_some() {", "if false {", "tests/tests/http/attacks.rs", "headers_that_stand_there_twice"),
    ("a body is not the one that was proven", "chio_http/src/rfc9449.rs", "self.proof.check_body(body, self.needs_body)?;", "", "tests/tests/http/attacks.rs", "another_body_where_the_proof_covers_it"),
    ("the certificate of a token need not be shown", "chio_http/src/rfc9449.rs", "check_certificate(token.certificate(), presented.certificate)?;", "", "tests/tests/http/attacks.rs", "a_certificate_that_the_token_is_bound_to_as_well"),
    ("a public route passes a device's token on", "chio_http/src/guard.rs", "self.of_word(word).any(|scheme| scheme.could_be_its(token)),", "{ let _ = (word, token); false }", "tests/tests/http/device.rs", "by_a_public_route_no_token_of_ours_goes_on_and_the_services_own_does"),
    ("a public route passes what is no text on", "chio_http/src/guard.rs", "Err(Unclear) => true,", "Err(Unclear) => false,", "tests/tests/http/device.rs", "by_a_public_route_no_token_of_ours_goes_on_and_the_services_own_does"),
    ("a public route passes a session on that is wrapped", "chio_http/src/opaque/scheme.rs", "token.split(|c| !is_part(c)).any(|part| part.len() == REFERENCE_CHARS)", "token.len() == REFERENCE_CHARS && token.chars().all(is_part)", "tests/tests/http/session.rs", "by_a_public_route_no_session_goes_on_and_the_services_own_tokens_do"),
    ("a credential is passed on", "chio_http/src/guard.rs", "headers.remove(AUTHORIZATION);", "", "tests/tests/http/passing.rs", "a_request_that_is_proven_passes_without_its_credentials_and_once"),
    ("a length and a coding are read as one", "chio_http/src/shape.rs", "framing(&parts.headers)?;", "", "tests/tests/http/attacks.rs", "a_smuggled_length"),
    ("`%2e` is a dot", "chio_http/src/target.rs", "if is_unreserved || escaped.is_ascii_control()", "if escaped.is_ascii_control()", "tests/tests/http/attacks.rs", "a_confused_path"),
    ("an E-Key's proof may have any nonce", "chio_http/src/ekey/scheme.rs", "if proof.nonce() != Some(&*token.trace) {", "if false {", "tests/tests/http/ekey.rs", "a_proof_for_something_else"),
    ("an E-Key of a certificate is anybody's", "chio_http/src/ekey/scheme.rs", "check_certificate(token.certificate, presented.certificate)?;", "", "tests/tests/http/ekey.rs", "an_ekey_of_a_certificate_is_of_the_connection_that_has_shown_it"),
    ("an E-Key has no limit", "chio_http/src/ekey/scheme.rs", "grant.max_invocations = token.cap.limit;", "let _ = &mut grant;", "tests/tests/http/ekey.rs", "a_thief_without_the_key_uses_nothing_up"),
    ("an E-Key lives as long as it says", "chio_http/src/ekey/token.rs", "if expires_at > issued_at.ceil.saturating_add(MAX_TTL_SECS) {", "if false {", "tests/tests/http/ekey.rs", "a_token_that_is_none"),
    ("a client has issued what it likes", "chio_http/src/ekey/issue.rs", "check_cap(&cap, client)?;", "", "tests/tests/http/ekey.rs", "a_client_has_issued_what_it_may_and_nothing_more"),
    ("the issuer answers at any name", "chio_http/src/gateway/desks.rs", "if let Err(refusal) = shape(&parts, std::slice::from_ref(&desks.origin)) {", "if let (Err(refusal), true) = (shape(&parts, std::slice::from_ref(&desks.origin)), false) {", "tests/tests/gateway/command.rs", "the_issuer_answers_at_its_origin_alone"),
    ("what cannot be read escapes the mode of a profile", "chio_http/src/device/scheme.rs", "Refused::of(failure, told(&token), profile)", "Refused::of(failure, told(&token), None)", "tests/tests/http/device.rs", "the_mode_of_a_profile_holds_for_whatever_else_is_sent"),
    ("a response key that is none escapes the mode of a profile", "chio_http/src/guard.rs", "Refused::of(failure, opened.told(), opened.profile())", "Refused::of(failure, opened.told(), None)", "tests/tests/http/device.rs", "the_mode_of_a_profile_holds_for_whatever_else_is_sent"),
    ("an outage escapes the mode of a profile", "chio_http/src/guard.rs", "Err(refused) if refused.claimed.is_none() && has_profiles =>", "Err(_) if false && has_profiles =>", "tests/tests/http/device.rs", "the_mode_of_a_profile_holds_for_whatever_else_is_sent"),
    ("a tab makes a credential nobody's", "chio_http/src/authorization.rs", r"!text.contains('\t')", "true", "tests/tests/http/rollout.rs", "what_is_not_enforced_goes_on_as_it_came_and_says_nobody_who_is_not_proven"),
    ("what follows the word need not be one token", "chio_http/src/guard.rs", r"&& token.contains(' ')", "&& false", "tests/tests/http/rollout.rs", "what_is_not_enforced_goes_on_as_it_came_and_says_nobody_who_is_not_proven"),
    ("an `Authorization` that is no text is nobody's", "chio_http/src/authorization.rs", "word_and_token(value).map(Some)", "Ok(word_and_token(value).ok())", "tests/tests/http/rollout.rs", "what_is_not_enforced_goes_on_as_it_came_and_says_nobody_who_is_not_proven"),
    ("an `Authorization` may begin with a space", "chio_http/src/authorization.rs", "&& !text.starts_with(' ')", "", "tests/tests/http/rollout.rs", "what_is_not_enforced_goes_on_as_it_came_and_says_nobody_who_is_not_proven"),
    ("bodies that pass keep the room of those that are read", "chio_http/src/body.rs", "        this.room = None;\n", "", "tests/tests/http/rollout.rs", "bodies_that_pass_without_being_judged_take_no_room"),
    ("a body is waited for without end", "chio_http/src/body.rs", "deadline.wait(gather(&mut body, limit, &mut pieces)).await;", "Some(gather(&mut body, limit, &mut pieces).await); let _ = deadline;", "tests/tests/http/passing.rs", "a_body_that_never_ends_is_given_up"),
    ("bodies are held without end", "chio_http/src/room.rs", "self.of(body.size_hint().upper().map_or(most, |upper| upper.min(most)))", "self.of(body.size_hint().upper().map_or(0, |_| 0).min(most))", "tests/tests/http/passing.rs", "no_more_bodies_are_held_than_there_is_room_for"),
    ("a session's MAC is not checked", "chio_http/src/opaque/proof.rs", "hmac::verify(key, text.as_bytes(), &shown.mac).map_err(|_| ProofError::Signature)?;", "let _ = (key, &shown.mac);", "tests/tests/http/session.rs", "what_differs_from_what_the_mac_is_of_does_not_pass"),
    ("a session's body is not covered", "chio_http/src/opaque/proof.rs", "body: Digest::of(body),", "body: Digest::of(body.get(..0).unwrap_or_default()),", "tests/tests/http/session.rs", "what_differs_from_what_the_mac_is_of_does_not_pass"),
    ("a session's query is not covered", "chio_http/src/opaque/scheme.rs", r#"target.query().map(|query| format!("?{query}")).unwrap_or_default()"#, "String::new()", "tests/tests/http/session.rs", "what_differs_from_what_the_mac_is_of_does_not_pass"),
    ("a session's response key is not covered", "chio_http/src/opaque/scheme.rs", "response_key.map_or_else(String::new, |key| key.text.to_owned())", "response_key.map_or_else(String::new, |_| String::new())", "tests/tests/http/session.rs", "what_differs_from_what_the_mac_is_of_does_not_pass"),
    ("Ctrl-C at the prompt leaves the terminal without echo", "chio_cli/src/commands/http/session.rs", "        let _held = interrupt::hold();\n", "", "tests/tests/gateway/passwords.rs", "a_terminal_asks_for_the_password_and_does_not_show_it"),
    ("a reload takes the rest of the new file for what runs", "chio_cli/src/commands/gateway/reload.rs", "let config = begun.with_rollout_of(&config).map_err(|error| wrong_at(&self.source, &text, error))?;", "drop(begun);", "tests/tests/gateway/rollout.rs", "rules_are_read_again_and_wrong_ones_change_nothing"),
    ("new rules are not checked against what runs", "chio_http/src/gateway/config/rollout.rs", "        check(&config)?;\n        Ok(config)", "        Ok(config)", "tests/tests/gateway/rollout.rs", "rules_are_read_again_and_wrong_ones_change_nothing"),
    ("an answer that is left unread is kept while others are asked for", "chio_http/src/gateway/connection.rs", "if counts.is_left_unread() {", "if counts.is_left_unread() && false {", "chio_http/src/gateway/connection.rs", "an_answer_that_is_left_unread_ends_the_connection"),
    ("what is in a buffer for the client is taken for sent", "chio_http/src/gateway/connection.rs", "held(part, Arc::clone(&this.under_way))", "part", "chio_http/src/gateway/connection.rs", "an_answer_that_is_left_unread_ends_the_connection"),
    ("a slow reader is taken for one who does not read", "chio_http/src/gateway/connection.rs", "this.rest.len().min(PART)", "this.rest.len()", "chio_http/src/gateway/connection.rs", "an_answer_that_is_read_slowly_is_not_left_unread"),
    ("the sessions of a replaced password end after it alone", "chio_http/src/opaque/accounts.rs", "if self.invited(code, user, now).await?.replaces {", "if self.invited(code, user, now).await?.replaces && false {", "chio_http/src/deadline/tests.rs", "a_password_that_is_replaced_ends_the_sessions_whatever_becomes_of_the_answer"),
    ("who logs in while a password is replaced keeps the session", "chio_http/src/opaque/accounts.rs", "drop(self.end_all(user, now).await);", "", "chio_http/src/deadline/tests.rs", "a_password_that_is_replaced_ends_the_sessions_whatever_becomes_of_the_answer"),
    ("an invitation is used up before the sessions could be ended", "chio_http/src/opaque/accounts.rs", "            self.end_all(user, now).await?;\n        }\n        let taken", "            drop(self.records.take(Table::Challenge, of_code(code), now).await?);\n            self.end_all(user, now).await?;\n        }\n        let taken", "chio_http/src/deadline/tests.rs", "where_the_sessions_cannot_be_ended_the_password_stays_and_so_does_the_invitation"),
    ("an empty page is taken for the last that is asked for", "chio_http/src/opaque/accounts.rs", "from = next;", "from = next.filter(|_| false);", "chio_http/src/deadline/tests.rs", "an_empty_page_is_not_the_last"),
    ("a session outlives the account that opened it", "chio_http/src/opaque/sessions.rs", "if self.0.accounts.still(&user, value.account, now).await?.is_none() {", "if self.0.accounts.still(&user, value.account, now).await?.is_none() && false {", "tests/tests/http/session.rs", "a_session_ends_with_the_account_that_opened_it"),
    ("a session is remembered for good", "chio_http/src/opaque/sessions.rs", "&& now < read_at.saturating_add(REMEMBERED_SECS)", "&& now < read_at.saturating_add(u64::MAX)", "tests/tests/http/session.rs", "a_session_ends_with_the_account_that_opened_it"),
    ("an enrolment that is cut short keeps the session", "chio_http/src/device/book.rs", "self.bind(token, device.id, now.saturating_add(HELD_SECS), now)", "self.bind(token, device.id, until(token, now.saturating_add(HELD_SECS)), now)", "chio_http/src/deadline/tests.rs", "an_enrolment_that_is_cut_short_takes_the_session_from_nobody"),
    ("who loses the session after all is a device", "chio_http/src/device/book.rs", "if put == Put::Kept {\n                        let gone", "if false {\n                        let gone", "chio_http/src/deadline/tests.rs", "an_enrolment_that_is_cut_short_takes_the_session_from_nobody"),
    ("an enrolment holds the session and no more", "chio_http/src/device/book.rs", "if !self.keep(token, device.id, now).await? {", "if false {", "chio_http/src/deadline/tests.rs", "an_enrolment_that_is_cut_short_takes_the_session_from_nobody"),
    ("a credential is one by its exact name alone", "chio_http/src/target.rs", "is_it(name) || is_it(name.split(|byte| *byte == b'[').next().unwrap_or_default())", "is_it(name)", "chio_http/src/target.rs", "a_path_with_two_readings_is_refused"),
    ("what follows a NUL is of the name to everybody", "chio_http/src/target.rs", "read.split(|byte| *byte == 0).next().unwrap_or_default()", "&read[..]", "chio_http/src/target.rs", "a_path_with_two_readings_is_refused"),
    ("a sealed answer that is in a buffer takes no room", "chio_http/src/sealed.rs", "held(sealed, kept)", "{ drop(kept); sealed }", "tests/tests/http/sealed.rs", "no_more_answers_are_held_than_there_is_room_for"),
    ("what a key is enrolled as is written over any file", "chio_cli/src/commands/http/enroll.rs", "Audience::Everyone, args.force", "Audience::Everyone, true", "tests/tests/gateway/devices.rs", "a_person_enrols_a_key_and_an_operator_turns_it_away"),
    ("a dot in a name is a dot to everybody", "chio_http/src/target.rs", "name.iter_mut().filter(|byte| b\". [\".contains(byte)).for_each(|byte| *byte = b'_');", "name.iter_mut().filter(|byte| b\"\".contains(byte)).for_each(|byte| *byte = b'_');", "chio_http/src/target.rs", "a_path_with_two_readings_is_refused"),
    ("a form is in any encoding", "chio_http/src/shape.rs", "if !charsets.all(is_known) {", "if !charsets.all(is_known) && false {", "tests/tests/http/attacks.rs", "credentials_where_they_have_no_place"),
    ("a list of revocations is written over what is none", "chio_cli/src/commands/state/exchange.rs", "if args.out.symlink_metadata().is_ok() {", "if false {", "tests/tests/cli_state.rs", "a_list_of_revocations_goes_from_one_state_to_another_and_never_back"),
    ("a store that hangs is waited for", "chio_http/src/deadline.rs", "|| self.timer.sleep(self.patience)", "|| self.timer.sleep(self.patience.saturating_mul(8))", "chio_http/src/deadline/tests.rs", "what_never_answers_has_failed"),
    ("sessions wait for a store that hangs", "chio_http/src/opaque/sessions.rs", "let accounts = accounts.within(&deadline);", "", "chio_http/src/deadline/tests.rs", "a_request_of_a_session_is_not_held"),
    ("the desk of sessions waits for a store of counts that hangs", "chio_http/src/opaque/desk.rs", "let usage = sessions.deadline().around(usage);", "", "chio_http/src/deadline/tests.rs", "the_desk_of_sessions_holds_nobody"),
    ("devices wait for a store that hangs", "chio_http/src/device/book.rs", "let (records, standings) = (deadline.around(records), deadline.around(standings));", "let _ = deadline;", "chio_http/src/deadline/tests.rs", "neither_the_desk_of_devices_nor_their_scheme_holds_anybody"),
    ("client applications wait for a store that hangs", "chio_http/src/device/status.rs", "standings: deadline.around(standings)", "standings: { let _ = deadline; standings }", "chio_http/src/deadline/tests.rs", "neither_the_desk_of_devices_nor_their_scheme_holds_anybody"),
    ("the command takes an answer that is not sealed", "chio_cli/src/commands/http/request.rs", "    if !is_sealed {\n", "    if !is_sealed && answer.status.is_success() {\n        return Ok(answer);\n    }\n    if !is_sealed {\n", "tests/tests/gateway/sealed.rs", "an_answer_that_is_not_sealed_or_is_to_another_request_is_not_taken"),
    ("the command asks for a sealed answer by no device", "chio_cli/src/commands/http/request.rs", "response_key: self.response_key(),\n            nonce: None,", "response_key: None,\n            nonce: None,", "tests/tests/gateway/sealed.rs", "whoever_asks_by_whatever_scheme_opens_the_answer_alone"),
    ("a request of a session is taken whenever it was made", "chio_http/src/opaque/scheme.rs", "check_time(shown.at, now, *window)?;", "let _ = window;", "tests/tests/http/session.rs", "a_request_is_of_now"),
    ("a session is for every scope", "chio_http/src/opaque/scheme.rs", ".is_none_or(|scope| live.has_scope(scope))", ".is_none_or(|scope| live.has_scope(scope) || true)", "tests/tests/http/session.rs", "a_session_is_for_its_scope_and_its_time"),
    ("a session that is remembered does not end", "chio_http/src/opaque/scheme.rs", "expires_at: live.expires_at,", "expires_at: u64::MAX,", "tests/tests/http/session.rs", "a_session_is_for_its_scope_and_its_time"),
    ("a logout leaves the credential", "chio_http/src/opaque/accounts.rs", "self.revocations.revoke(id).await?;", "", "tests/tests/http/session.rs", "two_gateways_are_one"),
    ("a logout needs no proof", "chio_http/src/opaque/desk.rs", "checked.map_err(|error| refused(error.into()))?;", "drop(checked);", "tests/tests/http/session.rs", "a_logout_needs_the_key_of_its_session"),
    ("a login may be finished again", "chio_http/src/opaque/desk.rs", "accounts.records.take(Table::Pending, of_login(&login), now)", "accounts.records.get(Table::Pending, of_login(&login), now)", "tests/tests/http/session.rs", "a_login_is_finished_once_and_by_who_began_it"),
    ("an unknown user is told of", "chio_http/src/opaque/desk.rs", "let is_known = entry.is_some();", "let is_known = entry.is_some(); if !is_known { return Err(No::LoginFailed); }", "tests/tests/http/session.rs", "nobody_is_told_who_has_an_account"),
    ("sealed keys are bound to their record alone", "chio_http/src/opaque/values.rs", "text(&(&self.user, &self.account, &self.scope, self.opened_at, self.expires_at, &self.trace, origin))", "text(&(self.opened_at, &self.trace, origin))", "tests/tests/http/session.rs", "a_record_that_was_changed_opens_no_session"),
    ("anybody may begin as often as they like", "chio_http/src/opaque/desk.rs", "is_left.then_some(()).ok_or(No::TooMany(wait(came.now)))", "let _ = (is_left, wait(came.now)); Ok(())", "tests/tests/http/session.rs", "who_asks_too_often_waits_and_locks_nobody_out"),
    ("an invitation counts again", "chio_http/src/opaque/accounts.rs", "self.records.take(Table::Challenge, of_code(code), now)", "self.records.get(Table::Challenge, of_code(code), now)", "tests/tests/http/session.rs", "who_may_register"),
    ("an invitation is for anybody", "chio_http/src/opaque/accounts.rs", "invitation.filter(|invitation| invitation.user == user.as_str())", "invitation.filter(|_| !user.as_str().is_empty())", "tests/tests/http/session.rs", "who_may_register"),
    ("a login outlives the password that began it", "chio_http/src/opaque/desk.rs", "accounts.still(&user, pending.account, now)", "accounts.account(&user, now)", "tests/tests/http/session.rs", "who_may_register"),
    ("an action passes over a narrower route", "chio_http/src/ekey/token.rs", " && !action.passes_over(route)", "", "tests/tests/http/ekey.rs", "an_action_does_not_pass_over_a_narrower_route"),
    ("an escape leads past a stricter route", "chio_http/src/route.rs", "if path.contains('%') && routes.iter().take(at).any(is_before) {", "if false && routes.iter().take(at).any(is_before) {", "tests/tests/http/attacks.rs", "another_spelling_of_a_stricter_route"),
    ("a device is anybody's", "chio_http/src/device/book.rs", "if is_its { Ok(device) } else { Err(unknown) }", "let _ = (is_its, unknown); Ok(device)", "tests/tests/http/device.rs", "a_stolen_token_without_its_device"),
    ("a session is any device's of its subject", "chio_http/src/device/scheme.rs", "book.belongs(&self.token, device.id, now).await?;", "", "tests/tests/http/device.rs", "a_stolen_token_without_its_device"),
    ("a thief's key is kept for the next session", "chio_http/src/device/book.rs", "self.bind(token, device.id, now.saturating_add(HELD_SECS), now).await?", "self.bind(token, device.id, now.saturating_add(HELD_SECS), now).await.unwrap_or(Bound::Before)", "tests/tests/http/device.rs", "a_thief_enrols_no_key_once_the_owner_has"),
    ("a session that may have no other tokens is forgotten with its token", "chio_http/src/device/book.rs", "token.expires_at().saturating_add(60).max(named)", "let _ = named; token.expires_at().saturating_add(60)", "tests/tests/http/device.rs", "a_session_keeps_its_device_for_longer_than_its_token"),
    ("any key signs a request", "chio_http/src/device/possession.rs", "if !is_signed(key, text.as_bytes(), &self.signature) {", "if false {", "tests/tests/http/device.rs", "a_stolen_token_without_its_device"),
    ("a signed request may be of any age", "chio_http/src/device/possession.rs", "if now > issued_at.saturating_add(window_secs) {", "if false {", "tests/tests/http/device.rs", "a_request_of_another_time"),
    ("the body of a signed request is another", "chio_http/src/device/possession.rs", "body: Digest::of(body),", "body: Digest::of(&body[..0]),", "tests/tests/http/device.rs", "a_request_that_is_another_than_was_signed"),
    ("a challenge is anybody's", "chio_http/src/device/enroll.rs", "if !waiting.as_ref().is_some_and(is_its) {", "let _ = is_its; if waiting.is_none() {", "tests/tests/http/device.rs", "an_enrolment_that_is_replayed_late_or_of_another"),
    ("any key is enrolled", "chio_http/src/device/enroll.rs", "if !is_signed(&key, text.text().as_bytes(), &signature) {", "if false {", "tests/tests/http/device.rs", "an_enrolment_that_is_replayed_late_or_of_another"),
    ("a banned key enrols again", "chio_http/src/device/enroll.rs", "standing => return Err(EnrollError::TurnedAway(standing)),", "_ => {}", "tests/tests/http/device.rs", "a_banned_device_stays_banned_when_it_enrols_again"),
    ("a client application is never turned away", "chio_http/src/device/scheme.rs", "self.inner.clients.check(&self.token, now).await?;", "", "tests/tests/http/device.rs", "a_client_application_that_is_turned_away"),
    ("nothing is required", "chio_http/src/device/scheme.rs", "None if self.is_required => return Err(ProofError::Missing.into()),", "", "tests/tests/http/device.rs", "what_is_required_depends_on_the_client_and_on_nothing_that_a_request_says"),
    ("a client that is in no profile has the laxest", "chio_http/src/device/profile.rs", "found.map_or((None, Require::All),", "found.map_or((None, Require::None),", "tests/tests/http/device.rs", "what_is_required_depends_on_the_client_and_on_nothing_that_a_request_says"),
    ("a token that is bound is taken without its key", "chio_http/src/device/token.rs", r#"if claims.get("cnf").is_some() {"#, "if false {", "tests/tests/http/device.rs", "a_token_that_is_bound_to_a_key_is_for_another_scheme"),
    ("a replay bans its victim", "chio_http/src/device/scheme.rs", "let (replay, signature) = (Response::Report, Response::Report);", "let (replay, signature) = (Response::Ban, Response::Report);", "tests/tests/http/device.rs", "a_captured_request_gets_its_victim_banned_only_where_that_is_configured"),
    ("two headers of a proof are as good as one", "chio_http/src/signed_request.rs", "(Ok(text), None) => Ok(Some(text)),", "(Ok(text), _) => Ok(Some(text)),", "tests/tests/http/device.rs", "headers_that_are_stripped_doubled_or_huge"),
    ("one right becomes two", "chio_http/src/gateway/headers.rs", "if subcap.iter().any(|name| name.contains(' ')) {", "if false {", "tests/tests/gateway/headers.rs", "one_right_does_not_become_two"),
    ("a list is rolled back", "chio_cli/src/commands/state/exchange.rs", "if sequence < known {", "if false {", "tests/tests/cli_state.rs", "a_list_of_revocations_goes_from_one_state_to_another_and_never_back"),
    ("a record has no end", "chio_store/src/sqlite/records.rs", "Ok(found.filter(|entry| entry.is_live(now)))", "let _ = now;\n            Ok(found)", "tests/tests/state/records.rs", "memory_a_file_and_redis_answer_as_a_plain_map_does"),
    ("what has expired can be taken", "chio_store/src/sqlite/records.rs", "Ok(taken.filter(|entry| entry.is_live(now)))", "Ok(taken)", "tests/tests/state/records.rs", "memory_a_file_and_redis_answer_as_a_plain_map_does"),
    ("a record is taken twice", "chio_store/src/sqlite/records.rs", "DELETE FROM record WHERE kind = ?1 AND key = ?2 RETURNING key, owner, value, until", "SELECT key, owner, value, until FROM record WHERE kind = ?1 AND key = ?2", "tests/tests/state/records.rs", "of_many_who_take_a_record_one_has_it"),
    ("a record need not be what was expected", "chio_store/src/sqlite/records.rs", "if there.as_ref().map(|(_, value)| value.as_slice()) != replaces {", "if there.is_some() != replaces.is_some() {", "tests/tests/state/records.rs", "of_many_who_put_a_record_where_there_is_none_one_does"),
    ("a table has room without end", "chio_store/src/sqlite/records.rs", ">= room.table {", "> u64::MAX - room.table {", "tests/tests/state/records.rs", "there_is_no_more_room_for_many_at_once_than_for_one_after_the_other"),
    ("an owner has room without end", "chio_store/src/sqlite/records.rs", ">= room.owner {", "> u64::MAX - room.owner {", "tests/tests/state/records.rs", "there_is_no_more_room_for_many_at_once_than_for_one_after_the_other"),
    ("whoever stands beside a kernel drops what it counts", "chio_store/src/sqlite/desk.rs", "self.swept < self.now && self.owner.is_some()", "self.swept < self.now", "tests/tests/state/records.rs", "who_changes_records_beside_a_kernel_drops_none_of_its_counts_and_nonces"),
    ("what is under way can be put in", "chio_store/src/state.rs", "if table.is_under_way() {", "if false {", "tests/tests/state/records.rs", "records_are_taken_out_and_put_in_and_one_that_is_there_stays"),
    ("a record is taken twice from Redis", "chio_store/src/redis/lua/take.lua", "strike(KEYS[2], KEYS[3], ARGV[4], ARGV[2], owner)", "", "tests/tests/state/records.rs", "of_many_who_take_a_record_one_has_it"),
    ("what was taken before Redis lost it can be taken again", "chio_store/src/redis/lua/take.lua", " or (ARGV[5] == '1' and epoch ~= ARGV[1])", "", "tests/tests/redis/records.rs", "where_redis_has_lost_its_memory_nothing_that_was_under_way_goes_on"),
    ("a record is changed in a Redis that has lost what it had", "chio_store/src/redis/lua/keep.lua", "if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then", "if false then", "tests/tests/redis/records.rs", "where_redis_has_lost_its_memory_nothing_that_was_under_way_goes_on"),
    ("a record of Redis need not be what was expected", "chio_store/src/redis/lua/keep.lua", " or (said and said ~= ARGV[7])", "", "tests/tests/state/records.rs", "of_many_who_put_a_record_where_there_is_none_one_does"),
    ("a table of Redis has room without end", "chio_store/src/redis/lua/keep.lua", ">= tonumber(ARGV[9])", ">= math.huge", "tests/tests/state/records.rs", "there_is_no_more_room_for_many_at_once_than_for_one_after_the_other"),
    ("a clock ahead ends a record for the others", "chio_store/src/redis/lua/take.lua", "if till <= tonumber(ARGV[3]) or", "if till <= tonumber(ARGV[3]) and strike(KEYS[2], KEYS[3], ARGV[4], ARGV[2], owner) or till <= tonumber(ARGV[3]) or", "tests/tests/redis/records.rs", "a_record_ends_for_each_kernel_by_its_own_clock"),
    ("a list shows all tools", "chio_mcp/src/definitions.rs", "filter(|(name, _)| sees(name))", "filter(|(name, _)| sees(name) || true)", "tests/tests/mcp/lists.rs", "a_list_shows_what_is_granted_on_every_page"),
    ("a list is proven by the token alone", "chio_kernel/src/kernel.rs", "Presented::Chain { capability: [], proof: None, .. } => return Err(Denial::ProofMissing),", "", "tests/tests/mcp/attacks.rs", "a_call_without_a_proof_of_its_own_reaches_no_tool_server"),
    ("a member may be named twice in a message", "chio_mcp/src/json.rs", "find(|(a, b)| a.0 == b.0)", "find(|(a, b)| a.0 == b.0 && false)", "tests/tests/mcp/attacks.rs", "what_readers_take_differently_is_not_passed"),
    ("a member of another case is no member", "chio_mcp/src/message.rs", "if let Some(name) = look_alike(&params, &PARAMETERS) {", "if let Some(name) = look_alike(&params, &[]) {", "tests/tests/mcp/attacks.rs", "what_readers_take_differently_is_not_passed"),
    ("a message may be a request and an answer", "chio_mcp/src/message.rs", "(Some(_), _) if result || error =>", "(Some(_), _) if result && error =>", "tests/tests/mcp/attacks.rs", "what_readers_take_differently_is_not_passed"),
    ("a request without an id passes", "chio_mcp/src/guard.rs", "if method.starts_with(\"notifications/\") && self.options.methods.rule(method) == Rule::Pass =>", "if !method.is_empty() =>", "tests/tests/mcp/attacks.rs", "what_readers_take_differently_is_not_passed"),
    ("a message goes on as it came", "chio_mcp/src/json.rs", "if has_ends { text", "if has_ends && false { text", "tests/tests/mcp/attacks.rs", "a_message_is_sent_on_as_one_line"),
    ("ids are compared as they are written", "chio_mcp/src/message.rs", "let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());", "let number = |_: &str| None::<f64>;", "tests/tests/mcp/attacks.rs", "two_requests_that_could_be_taken_for_each_other_are_not_under_way_at_once"),
    ("an id is free when its request is cancelled", "chio_mcp/src/guard.rs", "if let Some(Some(Waiting::Call(call) | Waiting::List(Some(call)))) = was {", "session.end(&id, |_| true);\n        if let Some(Some(Waiting::Call(call) | Waiting::List(Some(call)))) = was {", "tests/tests/mcp/attacks.rs", "a_late_answer_to_what_was_cancelled_is_nobody_elses"),
    ("a tool server speaks in Chio's name", "chio_mcp/src/guard.rs", "return Ok(without_own_data(message));", "return Ok(one_line(message.object.text()));", "tests/tests/mcp/attacks.rs", "what_a_tool_server_says_in_chios_name_is_not_passed"),
    ("a method that is not listed passes", "chio_mcp/src/methods.rs", "{ Rule::Check } else { Rule::Deny };", "{ Rule::Check } else { Rule::Pass };", "tests/tests/mcp/attacks.rs", "a_method_that_is_not_listed_is_denied_and_a_call_is_checked_whatever_the_table_says"),
    ("a tool takes the name of a method", "chio_mcp/src/guard.rs", "self.options.methods.is_method(&action.tool_name)", "false", "tests/tests/mcp/attacks.rs", "other_methods_are_granted_as_tools_of_their_names"),
    ("what stands beside the arguments is not covered", "chio_mcp/src/action.rs", "let own = arguments.members()", "let besides: Vec<String> = besides.into_iter().take(0).collect();\n        let own = arguments.members()", "tests/tests/mcp/attacks.rs", "inputs_beside_the_arguments_are_granted_by_name"),
    ("a client answers what nobody asked", "chio_mcp/src/guard.rs", "Kind::Response { id } if session.answer(&id.key) =>", "Kind::Response { .. } =>", "tests/tests/mcp/attacks.rs", "a_client_answers_what_the_tool_server_asked_and_once"),
    ("a message in another encoding is taken", "chio_mcp/src/http/front.rs", "is_json(value) && value.split(';').skip(1).all(is_utf8)", "is_json(value) && (value.is_empty() || value.split(';').skip(1).map(is_utf8).count() < 99)", "tests/tests/mcp/http.rs", "only_those_of_this_machine_speak_and_only_as_they_should"),
    ("any page may call", "chio_mcp/src/http/front.rs", "return Err(\"`Origin` is no page that may call\");", "", "tests/tests/mcp/http.rs", "only_those_of_this_machine_speak_and_only_as_they_should"),
    ("any name leads here", "chio_mcp/src/http/front.rs", "if hosts.next().is_some() || !self.is_ours(host) {", "if hosts.next().is_some() && !self.is_ours(host) {", "tests/tests/mcp/http.rs", "only_those_of_this_machine_speak_and_only_as_they_should"),
    ("a header may name another tool", "chio_mcp/src/http/check.rs", "(Some(said), named) if Some(said.as_str()) != named.as_deref() =>", "(Some(said), named) if said.is_empty() && named.is_none() =>", "tests/tests/mcp/http.rs", "a_header_that_says_something_else_than_its_message_is_refused"),
    ("clients that share a process hear each other", "chio_mcp/src/http/child.rs", "            if self.is_shared {\n                None\n            } else {", "            if false {\n                None\n            } else {", "tests/tests/mcp/http.rs", "clients_that_share_a_process_hear_and_do_nothing_to_each_other"),
    ("another result passes for one that has a receipt", "chio_mcp/src/keeper.rs", "return Err(\"it is that of another result\".into());", "", "tests/tests/mcp/receipts.rs", "an_answer_that_does_not_fit_its_receipt_is_not_passed_on"),
    ("a decision is believed without a signature", "chio_mcp/src/keeper.rs", "self.check_kernel(&decision)?;", "", "tests/tests/mcp/receipts.rs", "a_forged_answer_is_not_kept"),
    ("a denial's receipt passes for any answer", "chio_mcp/src/keeper.rs", "if !is_denial(result, said.code.as_deref().unwrap_or_default()) {", "if false {", "tests/tests/mcp/receipts.rs", "a_forged_answer_is_not_kept"),
    ("an answer to nothing reaches the client", "chio_mcp/src/signer.rs", "            return FromServer::Instead(Vec::new());\n        };\n        if let Some(text)", "            return plain();\n        };\n        if let Some(text)", "tests/tests/mcp/receipts.rs", "a_forged_answer_is_not_kept"),
];

/// The sources, without what is built of them.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (name, path) = (entry.file_name(), entry.path());
        if name == "target" || name.to_str().is_none_or(|name| name.starts_with('.')) {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// The answer of one test on the copy: whether it ran and passed, or ran and failed.
fn passes(place: &Path, file: &str, test: &str) -> Result<bool, String> {
    let stem = Path::new(file).file_stem().unwrap().to_str().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(place).env("CARGO_TARGET_DIR", repository().join("target/rules")).args(["test", "-q", "-p"]);
    match file.split_once("/src/") {
        Some((package, _)) => cargo.args([package, "--lib"]),
        None if file.contains("/mcp/") => cargo.args(["chio_tests", "--test", "mcp"]),
        None if file.contains("/http/") => cargo.args(["chio_tests", "--test", "http"]),
        None if file.contains("/gateway/") => cargo.args(["chio_tests", "--test", "gateway"]),
        None if file.contains("/redis/") => cargo.args(["chio_tests", "--test", "redis"]),
        None if file.contains("/state/") => cargo.args(["chio_tests", "--test", "state"]),
        None => cargo.args(["chio_tests", "--test", stem]),
    };
    let output = cargo.arg(test).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if err.contains("could not compile") || out.contains("running 0 tests") {
        return Err(err.into_owned());
    }
    Ok(output.status.success())
}

/// Else a change of the code would take a rule off this list unseen.
#[test]
fn each_rule_stands_once_where_it_is_looked_for() {
    let wrong: Vec<_> = RULES
        .iter()
        .filter(|(_, file, rule, ..)| {
            std::fs::read_to_string(repository().join(file)).unwrap().matches(rule).count() != 1
        })
        .map(|(what, file, rule, ..)| format!("{what}: {file} has not once: {rule}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "builds the kernel once for each rule"]
fn a_rule_that_is_taken_out_is_missed() {
    let place = tempfile::tempdir().unwrap();
    copy(&repository(), place.path());
    let mut missed = Vec::new();
    // Those of some files alone, where they are named.
    let wanted = std::env::var("CHIO_RULES").unwrap_or_default();
    let is_wanted = |file: &str| wanted.split(',').any(|wanted| file.starts_with(wanted));
    for (what, file, rule, instead, test_file, test) in RULES.iter().filter(|rule| is_wanted(rule.1)) {
        let path = place.path().join(file);
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, whole.replace(rule, instead)).unwrap();
        let answer = passes(place.path(), test_file, test);
        std::fs::write(&path, whole).unwrap();
        let answer = match answer {
            Ok(false) => "found".to_owned(),
            Ok(true) => "MISSED".to_owned(),
            Err(error) => format!("NOT BUILT: {error}"),
        };
        println!("{answer}: {what} ({test})");
        if answer != "found" {
            missed.push(what);
        }
    }
    println!("{} rules, {} missed", RULES.len(), missed.len());
    assert!(missed.is_empty(), "{missed:?}");
}
