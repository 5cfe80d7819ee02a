//! Size of the parts of an upload: all are equal but the last, since some stores refuse others (R2).

/// Smallest part that S3 takes, except for the last.
const SMALLEST: u64 = 5 << 20;
/// Usual part: two on their way, one waiting and one being filled take 32 MiB.
const USUAL: u64 = 8 << 20;
/// Most parts of an object in S3.
pub(crate) const MOST_PARTS: u64 = 10_000;
/// Parts that are planned for: an object may be larger than it was expected to be.
const PLANNED_PARTS: u64 = 9_000;
/// Bytes on their way at a time.
const IN_FLIGHT: u64 = 16 << 20;

/// Size of the parts of an object of about so many bytes.
pub(crate) fn part_size(expected: u64) -> u64 {
    let needed = expected.div_ceil(PLANNED_PARTS).div_ceil(1 << 20) << 20;
    needed.max(USUAL).max(SMALLEST)
}

/// Number of parts that are on their way at a time.
pub(crate) fn parts_in_flight(part_size: u64) -> usize {
    usize::try_from(IN_FLIGHT / part_size.max(1)).unwrap_or(1).clamp(1, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expected_size_fits_into_the_parts_that_a_store_takes() {
        for gigabytes in [0, 1, 50, 80, 500, 1_000, 5_000, 20_000] {
            let expected = gigabytes << 30;
            let size = part_size(expected);
            assert!(size >= SMALLEST && size.is_multiple_of(1 << 20), "{gigabytes}");
            assert!(expected.div_ceil(size) <= PLANNED_PARTS, "{gigabytes}");
            assert!(parts_in_flight(size) >= 1);
        }
        assert_eq!((part_size(0), part_size(70 << 30)), (USUAL, USUAL));
        assert_eq!(part_size(80 << 30), 10 << 20);
        assert_eq!((parts_in_flight(USUAL), parts_in_flight(1 << 30)), (2, 1));
    }
}
