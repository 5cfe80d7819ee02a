//! Retention: decides which backups stay, with a reason for each. Pure: backups, a policy, a moment and a time zone in,
//! decisions out.
//!
//! Promises: the order of the input does not matter; a higher number in the policy never removes more; what one run
//! keeps the next one keeps too; the newest backup that counts stays, pinned ones stay, and so does whatever envctl
//! cannot vouch for or dates in the future. The anchor is restic's `forget`: buckets of the calendar that skip empty
//! periods, and the oldest backup in addition where a rule finds too few.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::config::calendar_duration::CalendarDuration;
use crate::text::units::{bytes, count};

/// Number that keeps every bucket.
pub(crate) const ALL: u32 = u32::MAX;

/// Period of which a rule keeps the newest backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Period {
    /// Every backup is a period of its own.
    Last,
    Hourly,
    Daily,
    /// ISO weeks, which begin on Monday.
    Weekly,
    Monthly,
    Yearly,
}

impl Period {
    pub(crate) const EACH: [Self; 6] =
        [Self::Last, Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly];

    /// Returns the period in one word, as options and keys have it.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }

    /// Returns the bucket of the backup number `at` in a list.
    fn bucket(self, zoned: &Zoned, at: usize) -> [i64; 5] {
        let (year, month, day) = (zoned.year().into(), zoned.month().into(), zoned.day().into());
        match self {
            Self::Last => [i64::try_from(at).unwrap_or(i64::MAX), 0, 0, 0, 0],
            // The hour that a clock shows twice in autumn is two hours.
            Self::Hourly => [year, month, day, zoned.hour().into(), zoned.offset().seconds().into()],
            Self::Daily => [year, month, day, 0, 0],
            Self::Weekly => {
                let week = zoned.date().iso_week_date();
                [week.year().into(), week.week().into(), 0, 0, 0]
            }
            Self::Monthly => [year, month, 0, 0, 0],
            Self::Yearly => [year, 0, 0, 0, 0],
        }
    }
}

/// Rules of a policy. A number of 0 and a duration of 0 are no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RetentionPolicy {
    /// Buckets to keep, by [`Period::EACH`].
    pub(crate) counts: [u32; 6],
    /// Age up to which buckets are kept, by [`Period::EACH`]; counted back from the newest backup that counts.
    pub(crate) within: [Option<CalendarDuration>; 6],
    /// Age up to which safety backups are kept.
    pub(crate) safety: CalendarDuration,
}

impl RetentionPolicy {
    /// Reports whether no rule keeps any backup.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
            && self.within.iter().flatten().all(CalendarDuration::is_zero)
    }
}

/// Backups that one policy is applied to: of one database, and as complete as each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RetentionGroup {
    /// The Docker context: a stack of the same name on another host is another one.
    pub(crate) context: String,
    pub(crate) stack: String,
    pub(crate) profile: Option<String>,
    /// The service, or the container where there is none.
    pub(crate) service: String,
    /// `None` for backups of all databases.
    pub(crate) database: Option<String>,
    /// False for backups that leave something out.
    pub(crate) whole: bool,
}

/// One backup, as far as retention looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RetentionItem {
    /// Name, unique in the list.
    pub(crate) name: String,
    pub(crate) at: Timestamp,
    pub(crate) pinned: bool,
    /// Reason why it stays until it has its copies in the stores, where the rules want that.
    pub(crate) uncopied: Option<String>,
    pub(crate) state: RetentionState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RetentionState {
    /// Verified, with a manifest of envctl.
    Verified(VerifiedBackup),
    /// Never counted and never removed, for this reason.
    Untouched(String),
}

/// Facts about a verified backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VerifiedBackup {
    pub(crate) group: RetentionGroup,
    /// Made before a restore.
    pub(crate) safety: bool,
    /// The database held nothing.
    pub(crate) empty: bool,
    /// Rows in it, where they are known.
    pub(crate) rows: Option<u64>,
    /// Format and plain bytes, which are compared where only its recipients know the rows of an encrypted backup.
    pub(crate) size: Option<(String, u64)>,
    /// The user said that fewer rows are right.
    pub(crate) rows_accepted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RetentionDecision {
    /// For each of these reasons, of which there is at least one.
    Keep(Vec<KeepReason>),
    Remove(RemoveReason),
}

impl RetentionDecision {
    pub(crate) fn is_keep(&self) -> bool {
        matches!(self, Self::Keep(_))
    }

    /// Returns every reason as text.
    pub(crate) fn reasons(&self) -> Vec<String> {
        match self {
            Self::Keep(reasons) => reasons.iter().map(ToString::to_string).collect(),
            Self::Remove(reason) => vec![reason.to_string()],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeepReason {
    /// The newest backup that counts.
    Newest,
    Pinned,
    Future,
    /// Newest of its bucket; the bucket has this number.
    Count {
        period: Period,
        number: u32,
        of: u32,
    },
    /// Oldest of all, for a rule that found fewer buckets than it may keep.
    Oldest(Period),
    /// Newest of its bucket, and not older than that.
    Within {
        period: Period,
        duration: CalendarDuration,
    },
    /// Last backup that counts before one whose rows fell.
    BeforeFall,
    /// Does not count: more than half of the rows are gone.
    Fallen {
        from: u64,
        to: u64,
    },
    /// Does not count: more than half of the bytes are gone, of an encrypted backup whose rows are not known here.
    Shrunk {
        from: u64,
        to: u64,
    },
    /// Does not count.
    Empty,
    /// Safety backup within the age for them.
    Safety(CalendarDuration),
    /// The newest safety backup.
    NewestSafety,
    /// Safety backup, and no other backup counts.
    OnlySafety,
    Untouched(String),
    /// No rule keeps it, but a store has no confirmed copy.
    Uncopied(String),
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest verified"),
            Self::Pinned => f.write_str("pinned"),
            Self::Future => f.write_str("dated in the future"),
            Self::Count { period, number, of: ALL } => write!(f, "{} {number}", period.keyword()),
            Self::Count { period, number, of } => write!(f, "{} {number} of {of}", period.keyword()),
            Self::Oldest(period) => write!(f, "oldest, {}", period.keyword()),
            Self::Within { period: Period::Last, duration } => write!(f, "within {duration}"),
            Self::Within { period, duration } => write!(f, "{} within {duration}", period.keyword()),
            Self::BeforeFall => f.write_str("last before the rows fell"),
            Self::Fallen { from, to } => {
                write!(f, "does not count: rows fell from {} to {}", count(*from), count(*to))
            }
            Self::Shrunk { from, to } => {
                write!(f, "does not count: its dump shrank from {} to {}", bytes(*from), bytes(*to))
            }
            Self::Empty => f.write_str("does not count: empty"),
            Self::Safety(duration) => write!(f, "before a restore, within {duration}"),
            Self::NewestSafety => f.write_str("newest before a restore"),
            Self::OnlySafety => f.write_str("before a restore, and no other backup counts"),
            Self::Untouched(reason) | Self::Uncopied(reason) => f.write_str(reason),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RemoveReason {
    /// No rule keeps it.
    NoRule,
    /// Does not count, and everything that the rules keep is newer.
    OlderThanKept,
    /// Safety backup older than that.
    SafetyAge(CalendarDuration),
}

impl fmt::Display for RemoveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule => f.write_str("no rule keeps it"),
            Self::OlderThanKept => {
                f.write_str("does not count, and is older than every backup the rules keep")
            }
            Self::SafetyAge(duration) => write!(f, "before a restore, older than {duration}"),
        }
    }
}

/// Decides each backup; the decisions have the order of the backups.
pub(crate) fn decide(
    items: &[RetentionItem],
    policy: &RetentionPolicy,
    now: Timestamp,
    zone: &TimeZone,
) -> Vec<RetentionDecision> {
    let mut kept = Kept { reasons: vec![Vec::new(); items.len()] };
    let mut removed = vec![RemoveReason::NoRule; items.len()];
    let mut groups: BTreeMap<&RetentionGroup, Vec<Member<'_>>> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        if item.pinned {
            kept.keep(at, KeepReason::Pinned);
        }
        if let Some(reason) = &item.uncopied {
            kept.keep(at, KeepReason::Uncopied(reason.clone()));
        }
        match &item.state {
            RetentionState::Untouched(reason) => kept.keep(at, KeepReason::Untouched(reason.clone())),
            RetentionState::Verified(_) if item.at > now => kept.keep(at, KeepReason::Future),
            RetentionState::Verified(backup) => {
                groups.entry(&backup.group).or_default().push(Member { at, item, backup });
            }
        }
    }
    for (_, mut members) in groups {
        members.sort_by(|a, b| (b.item.at, &b.item.name).cmp(&(a.item.at, &a.item.name)));
        Group::new(members).decide(policy, zone, &mut kept, &mut removed);
    }
    let decisions = kept.reasons.into_iter().zip(removed).map(|(mut reasons, removed)| {
        // Where a rule keeps it anyhow the missing copy is no reason.
        if reasons.len() > 1 {
            reasons.retain(|reason| !matches!(reason, KeepReason::Uncopied(_)));
        }
        if reasons.is_empty() { RetentionDecision::Remove(removed) } else { RetentionDecision::Keep(reasons) }
    });
    decisions.collect()
}

/// Reasons to keep, by the backup's place in the input.
struct Kept {
    reasons: Vec<Vec<KeepReason>>,
}

impl Kept {
    fn keep(&mut self, at: usize, reason: KeepReason) {
        self.reasons[at].push(reason);
    }

    fn is_kept(&self, at: usize) -> bool {
        !self.reasons[at].is_empty()
    }
}

/// A verified backup, and its place in the input.
#[derive(Clone, Copy)]
struct Member<'a> {
    at: usize,
    item: &'a RetentionItem,
    backup: &'a VerifiedBackup,
}

/// A backup that does not count.
struct Uncounted<'a> {
    member: Member<'a>,
    reason: KeepReason,
    /// Backup with which the rows were compared.
    compared: Option<Member<'a>>,
}

/// Backups of one group, each list newest first.
struct Group<'a> {
    counted: Vec<Member<'a>>,
    uncounted: Vec<Uncounted<'a>>,
    safety: Vec<Member<'a>>,
}

impl<'a> Group<'a> {
    /// Sorts out which backups count.
    ///
    /// Rows are compared with those of the last backup that counts, not of the last one: else the second nightly backup
    /// of a database that lost its rows would count again.
    fn new(members: Vec<Member<'a>>) -> Self {
        let (safety, others): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.backup.safety);
        // A database that was always empty has backups like any other.
        let always_empty = others.iter().all(|member| member.backup.empty);
        let mut group = Self { counted: Vec::new(), uncounted: Vec::new(), safety };
        let mut with_rows: Option<(Member<'a>, u64)> = None;
        let mut with_size: Option<(Member<'a>, &str, u64)> = None;
        for member in others.into_iter().rev() {
            let backup = member.backup;
            if backup.empty && !always_empty {
                group.uncounted.push(Uncounted { member, reason: KeepReason::Empty, compared: None });
                continue;
            }
            let rows = backup.rows.filter(|_| backup.group.whole);
            let size = backup.size.as_ref().filter(|_| backup.group.whole);
            let size = size.map(|(format, bytes)| (format.as_str(), *bytes));
            let fallen = match (with_rows, rows, with_size, size) {
                (Some((before, from)), Some(to), ..) if to < from.div_ceil(2) => {
                    Some((before, KeepReason::Fallen { from, to }))
                }
                (_, None, Some((before, was, from)), Some((is, to)))
                    if was == is && to < from.div_ceil(2) =>
                {
                    Some((before, KeepReason::Shrunk { from, to }))
                }
                _ => None,
            };
            if let Some((before, reason)) = fallen.filter(|_| !backup.rows_accepted) {
                group.uncounted.push(Uncounted { member, reason, compared: Some(before) });
                continue;
            }
            with_rows = rows.map(|rows| (member, rows)).or(with_rows);
            with_size = size.map(|(format, bytes)| (member, format, bytes)).or(with_size);
            group.counted.push(member);
        }
        group.counted.reverse();
        group.uncounted.reverse();
        group
    }

    fn decide(
        &self,
        policy: &RetentionPolicy,
        zone: &TimeZone,
        kept: &mut Kept,
        removed: &mut [RemoveReason],
    ) {
        self.keep_by_rules(policy, zone, kept);
        self.keep_safety(policy, zone, kept, removed);
        self.keep_uncounted(kept, removed);
    }

    fn keep_by_rules(&self, policy: &RetentionPolicy, zone: &TimeZone, kept: &mut Kept) {
        let Some(newest) = self.counted.first() else { return };
        kept.keep(newest.at, KeepReason::Newest);
        let zoned: Vec<Zoned> =
            self.counted.iter().map(|member| member.item.at.to_zoned(zone.clone())).collect();
        for ((period, of), within) in Period::EACH.into_iter().zip(policy.counts).zip(&policy.within) {
            // A set, not the last bucket: where clocks go back over midnight a day comes twice.
            let (mut seen, mut number) = (HashSet::new(), 0);
            for (place, (member, zoned)) in self.counted.iter().zip(&zoned).enumerate() {
                if number == of {
                    break;
                }
                if seen.insert(period.bucket(zoned, place)) {
                    number += 1;
                    kept.keep(member.at, KeepReason::Count { period, number, of });
                } else if place + 1 == self.counted.len() {
                    kept.keep(member.at, KeepReason::Oldest(period));
                }
            }
            let Some(duration) = within.filter(|duration| !duration.is_zero()) else { continue };
            let since = duration.before(newest.item.at, zone);
            let mut seen = HashSet::new();
            for (place, (member, zoned)) in self.counted.iter().zip(&zoned).enumerate() {
                let is_oldest = place + 1 == self.counted.len();
                if member.item.at >= since && (seen.insert(period.bucket(zoned, place)) || is_oldest) {
                    kept.keep(member.at, KeepReason::Within { period, duration });
                }
            }
        }
    }

    /// Keeps safety backups up to an age, counted back from the newest backup that counts: without newer backups none
    /// of them goes.
    fn keep_safety(
        &self,
        policy: &RetentionPolicy,
        zone: &TimeZone,
        kept: &mut Kept,
        removed: &mut [RemoveReason],
    ) {
        let since = self.counted.first().map(|newest| policy.safety.before(newest.item.at, zone));
        for (place, member) in self.safety.iter().enumerate() {
            removed[member.at] = RemoveReason::SafetyAge(policy.safety);
            match since {
                None => kept.keep(member.at, KeepReason::OnlySafety),
                Some(since) if member.item.at >= since => {
                    kept.keep(member.at, KeepReason::Safety(policy.safety));
                }
                Some(_) if place == 0 => kept.keep(member.at, KeepReason::NewestSafety),
                Some(_) => {}
            }
        }
    }

    /// Keeps backups that do not count until the rules keep nothing that is older. With a backup whose rows fell stays the
    /// one that its rows were compared with: else the next run would compare with another one, and decide anew.
    fn keep_uncounted(&self, kept: &mut Kept, removed: &mut [RemoveReason]) {
        let members = self.counted.iter().copied().chain(self.uncounted.iter().map(|other| other.member));
        let of_kept = members.filter(|member| kept.is_kept(member.at));
        let oldest = of_kept.map(|member| (member.item.at, &member.item.name)).min();
        for Uncounted { member, reason, .. } in &self.uncounted {
            removed[member.at] = RemoveReason::OlderThanKept;
            if oldest.is_some_and(|oldest| (member.item.at, &member.item.name) >= oldest) {
                kept.keep(member.at, reason.clone());
            }
        }
        let of_kept = self.uncounted.iter().filter(|other| kept.is_kept(other.member.at));
        let mut compared: Vec<usize> = of_kept.filter_map(|other| Some(other.compared?.at)).collect();
        compared.dedup();
        for at in compared {
            kept.keep(at, KeepReason::BeforeFall);
        }
    }
}
