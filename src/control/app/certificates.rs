//! Certificates that end: said while there is time, and loudly when there is none left, whether or not anything is reloaded.

use crate::edge::Relay;
use crate::observe::{CertificateEvent, Event};
use crate::runtime::snapshot::ServedCertificate;
use crate::runtime::state::Ending;

const DAY: i64 = 86_400;
/// One that ends later than in so many days is not worth a word.
const SOON_DAYS: i64 = 21;

/// Looks at every certificate that is served. Also before somebody reads the status, so that both say the same.
pub(super) fn look(relay: &Relay) {
    let (snapshot, now) = (relay.snapshot(), relay.gate.clock.now());
    let mut ending = Vec::new();
    for listener in &snapshot.listeners {
        for certificate in listener.tls.iter().flat_map(|tls| &tls.certificates) {
            if let Some(expired) = ends(certificate, now.secs()) {
                let (listener, names) = ((&*listener.name).into(), certificate.names.join(", ").into());
                ending.push(Ending { listener, names, not_after: certificate.not_after, expired });
            }
        }
    }
    for Ending { listener, names, not_after, expired } in relay.gate.state.certificates.news(ending, now) {
        let event = CertificateEvent { listener: &listener, names: &names, not_after, expired };
        relay.gate.observer.record(&Event::Certificate(event));
    }
}

/// Whether it has expired, or will: in the last third of its life, and within three weeks.
fn ends(certificate: &ServedCertificate, now: i64) -> Option<bool> {
    let (life, left) = (certificate.not_after - certificate.not_before, certificate.not_after - now);
    match left {
        i64::MIN..0 => Some(true),
        _ => (left < life / 3 && left < SOON_DAYS * DAY).then_some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_ends_in_its_last_third_and_within_three_weeks() {
        let certificate = |days: i64| ServedCertificate { names: Vec::new(), not_before: 0, not_after: days * DAY };
        for (days, now, expected) in [
            (365, 0, None),
            (365, 340, None),
            (365, 345, Some(false)),
            (365, 365, Some(false)),
            (365, 366, Some(true)),
            (6, 3, None),
            (6, 5, Some(false)),
        ] {
            assert_eq!(ends(&certificate(days), now * DAY), expected, "{days} {now}");
        }
    }
}
