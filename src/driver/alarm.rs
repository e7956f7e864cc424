//! What ends a driver's wait.

/// Ends a driver's wait, from any thread.
///
/// A ring is remembered: if nobody waits, the next wait ends at once. Rings are not counted, and nothing is promised to
/// stay away: a wait may end for no reason. So an alarm only says "look again"; what there is to see lies elsewhere, and
/// is handed over there.
pub(crate) trait Alarm: Send + Sync {
    /// Neither blocks nor panics.
    fn ring(&self);
}
