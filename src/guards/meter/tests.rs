use super::*;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn limits(rate: Option<Rate>, per_source: Option<Rate>, in_flight: Option<usize>) -> RouteLimits {
    RouteLimits { rate, rate_per_source: per_source, max_in_flight: in_flight }
}

#[test]
fn a_burst_passes_then_the_rate_holds() {
    let meter = RouteMeter::default();
    let limits = limits(Some(Rate { per_second: 10.0, burst: 3 }), None, None);
    let start = Instant::now();
    for _ in 0..3 {
        assert!(meter.charge_route(&limits, Part::Whole, start).is_ok());
    }
    let turned = meter.charge_route(&limits, Part::Whole, start).unwrap_err();
    assert_eq!(turned.refusal, Refusal::RouteRateLimited);
    assert!(turned.retry_after.unwrap() <= Duration::from_millis(100));
    assert!(meter.charge_route(&limits, Part::Whole, start + Duration::from_millis(101)).is_ok());
    assert!(meter.charge_route(&limits, Part::Whole, start + Duration::from_millis(102)).is_err());
}

#[test]
fn a_refused_request_takes_no_token() {
    let meter = RouteMeter::default();
    let limits = limits(Some(Rate { per_second: 1.0, burst: 1 }), None, None);
    let start = Instant::now();
    assert!(meter.charge_route(&limits, Part::Whole, start).is_ok());
    for _ in 0..100 {
        assert!(meter.charge_route(&limits, Part::Whole, start).is_err());
    }
    assert!(meter.charge_route(&limits, Part::Whole, start + Duration::from_secs(1)).is_ok());
}

/// What a source is charged for is not yet genuine, and takes nothing of what genuine requests share.
#[test]
fn a_source_spends_nothing_that_the_route_shares() {
    let meter = RouteMeter::default();
    let rate = Rate { per_second: 1.0, burst: 1 };
    let limits = limits(Some(rate), Some(rate), Some(1));
    let start = Instant::now();
    for _ in 0..100 {
        let _ = meter.charge_source(&limits, ip(1), start);
    }
    assert_eq!(meter.in_flight(), 0);
    assert!(meter.charge_route(&limits, Part::Whole, start).is_ok());
}

#[test]
fn sources_do_not_share_a_bucket_but_a_slash_64_does() {
    let meter = RouteMeter::default();
    let limits = limits(None, Some(Rate { per_second: 1.0, burst: 1 }), None);
    let start = Instant::now();
    assert!(meter.charge_source(&limits, ip(1), start).is_ok());
    assert!(meter.charge_source(&limits, ip(2), start).is_ok());
    assert_eq!(meter.charge_source(&limits, ip(1), start).unwrap_err().refusal, Refusal::SourceRateLimited);
    assert!(meter.charge_source(&limits, "2001:db8::1".parse().unwrap(), start).is_ok());
    assert!(meter.charge_source(&limits, "2001:db8::2".parse().unwrap(), start).is_err());
    assert!(meter.charge_source(&limits, "2001:db8:0:1::1".parse().unwrap(), start).is_ok());
}

#[test]
fn in_flight_is_given_back_on_drop_also_after_a_refusal() {
    let meter = RouteMeter::default();
    let limits = limits(None, None, Some(1));
    let now = Instant::now();
    let permit = meter.charge_route(&limits, Part::Whole, now).unwrap();
    assert_eq!(meter.charge_route(&limits, Part::Whole, now).unwrap_err().refusal, Refusal::RouteBusy);
    assert_eq!(meter.in_flight(), 1);
    drop(permit);
    assert_eq!(meter.in_flight(), 0);
    assert!(meter.charge_route(&limits, Part::Whole, now).is_ok());
}

/// More strangers than can be remembered, each with its bucket empty for a quarter of an hour: who comes for the first time
/// is served, and who is loud is remembered longest.
#[test]
fn the_number_of_remembered_sources_is_bounded_and_nobody_pays_for_the_others() {
    let meter = RouteMeter::default();
    let limits = limits(None, Some(Rate { per_second: 0.001, burst: 1 }), None);
    let now = Instant::now();
    for n in 0..u32::try_from(SOURCES_MAX).unwrap() * 2 {
        assert!(meter.charge_source(&limits, IpAddr::from(n.to_be_bytes()), now).is_ok(), "the first of source {n}");
    }
    let known: usize = meter.sources.shards.get().unwrap().iter().map(|shard| shard.lock().unwrap().len()).sum();
    assert!(known <= SOURCES_MAX, "{known}");
    let later = now + Duration::from_secs(10);
    let loud = IpAddr::from([203, 0, 113, 1]);
    assert!(meter.charge_source(&limits, loud, later).is_ok());
    let forgotten = (0..1000_u32).filter(|n| {
        let _ = meter.charge_source(&limits, IpAddr::from((n | 0xc000_0000).to_be_bytes()), now);
        meter.charge_source(&limits, loud, later).is_ok()
    });
    assert_eq!(forgotten.count(), 0, "its bucket is full again last of all");
}

#[test]
fn half_of_a_route_leaves_the_other_half() {
    let meter = RouteMeter::default();
    let now = Instant::now();
    let limits = RouteLimits { rate: Some(Rate { per_second: 1.0, burst: 4 }), ..RouteLimits::default() };
    let take = |part| meter.charge_route(&limits, part, now).map(drop);
    assert!(take(Part::Half).is_ok() && take(Part::Half).is_ok());
    assert_eq!(take(Part::Half).unwrap_err().refusal, Refusal::RouteRateLimited);
    assert!(take(Part::Whole).is_ok() && take(Part::Whole).is_ok());
    assert!(take(Part::Whole).is_err());

    let limits = RouteLimits { max_in_flight: Some(2), ..RouteLimits::default() };
    let held = meter.charge_route(&limits, Part::Half, now).unwrap();
    assert_eq!(meter.charge_route(&limits, Part::Half, now).unwrap_err().refusal, Refusal::RouteBusy);
    assert!(meter.charge_route(&limits, Part::Whole, now).is_ok());
    drop(held);
}
