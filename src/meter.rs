//! Token buckets and in-flight caps per route: pure arithmetic over a given instant, bounded memory per source.
/// The meters of one route; they outlive a reload.
#[derive(Debug, Default)]
pub struct RouteMeter {}
