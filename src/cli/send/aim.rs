//! Where a request goes: the listener of the configuration, or a URL; and whom to believe there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::super::Unusable;
use super::super::grammar::Send;
use super::super::verify::unknown;
use crate::base::named_in;
use crate::cli::sender::{Place, Trust, TrustProblem};
use crate::config::raw::RawConfig;
use crate::control::admin::client;
use crate::control::admin::status::Status;
use crate::runtime::snapshot::{ListenAddress, Listener, Route, Snapshot};

/// Where a request goes.
pub(super) struct Aim {
    pub(super) place: Place,
    /// Scheme and authority, for people.
    pub(super) url: String,
    /// Path and query of the URL, when it has any.
    pub(super) path: Option<String>,
}

pub(super) async fn aim(args: &Send, config: &Path, snapshot: &Snapshot, route: &Route) -> Result<Aim, Unusable> {
    match &args.url {
        Some(url) => at_url(args, url).await,
        None => at_listener(args, config, snapshot, route).await,
    }
}

async fn at_url(args: &Send, url: &str) -> Result<Aim, Unusable> {
    let odd = || Unusable(format!("\"{url}\" is no URL; expected https://host[:port][/path]"));
    let uri: http::Uri = url.parse().map_err(|_| odd())?;
    let authority = uri.authority().ok_or_else(odd)?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(odd()),
    };
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let address = match args.connect {
        Some(address) => address,
        None => resolve(authority.host(), port).await?,
    };
    let place = if tls {
        let trust = match &args.cacert {
            Some(file) => Trust::authorities(file),
            None => Trust::system(),
        };
        let trust = identified(trust, args)?;
        Place::tls(address, authority.as_str(), &trust).map_err(|error| error.to_string())?
    } else {
        Place::plain(address, authority.as_str())
    };
    let path = uri.path_and_query().map(ToString::to_string).filter(|path| path != "/");
    let scheme = if tls { "https" } else { "http" };
    Ok(Aim { place, url: format!("{scheme}://{authority}"), path })
}

async fn resolve(host: &str, port: u16) -> Result<SocketAddr, Unusable> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let mut found = tokio::net::lookup_host((name, port)).await.map_err(|error| format!("{host}: {error}"))?;
    found.next().ok_or_else(|| format!("{host} has no address").into())
}

async fn at_listener(args: &Send, config: &Path, snapshot: &Snapshot, route: &Route) -> Result<Aim, Unusable> {
    let wanted = args.listener.as_deref();
    let names = || snapshot.listeners.iter().map(|listener| &*listener.name);
    let listener = snapshot.listeners.iter().find(|listener| wanted.is_none_or(|name| *listener.name == *name));
    let listener = listener.ok_or_else(|| unknown("listener", wanted.unwrap_or_default(), names()))?;
    let address = match args.connect {
        Some(address) => address,
        None => reachable(address_of(listener, snapshot).await?),
    };
    let host = host_for(listener, route, address);
    let Some(_) = &listener.tls else {
        return Ok(Aim { place: Place::plain(address, &host), url: format!("http://{host}"), path: None });
    };
    let trust = match &args.cacert {
        Some(file) => Trust::authorities(file),
        None => Trust::pinned(&chains(config, &listener.name)?),
    };
    let trust = identified(trust, args)?;
    let place = Place::tls(address, &host, &trust).map_err(|error| error.to_string())?;
    Ok(Aim { place, url: format!("https://{host}"), path: None })
}

fn identified(trust: Result<Trust, TrustProblem>, args: &Send) -> Result<Trust, Unusable> {
    let identified = trust.and_then(|trust| match (&args.cert, &args.key) {
        (Some(chain), Some(key)) => trust.with_identity(chain, key),
        _ => Ok(trust),
    });
    identified.map_err(|problem| Unusable(problem.to_string()))
}

/// The configured address; the real one from the running relay where the kernel or systemd chose it.
async fn address_of(listener: &Listener, snapshot: &Snapshot) -> Result<SocketAddr, Unusable> {
    if let ListenAddress::Tcp(address) = &listener.address
        && address.port() != 0
    {
        return Ok(*address);
    }
    let help = "say --connect ADDRESS:PORT";
    let Some(admin) = &snapshot.admin else {
        return Err(format!("only the running relay knows where listener {} stands; {help}", listener.name).into());
    };
    let answer = client::get(admin, "/api/v1/status").await.map_err(|error| format!("{error}; {help}"))?;
    let status: Status =
        serde_json::from_slice(&answer.body).map_err(|_| format!("the relay tells no status; {help}"))?;
    let found = status.listeners.iter().find(|known| *known.name == *listener.name);
    let address = found.and_then(|known| known.address.parse().ok());
    address.ok_or_else(|| format!("the running relay has no listener {}; {help}", listener.name).into())
}

/// A listener on every address is reached over loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A name under which the route is served and for which the listener has a certificate.
fn host_for(listener: &Listener, route: &Route, address: SocketAddr) -> String {
    let served = listener.tls.iter().flat_map(|tls| &tls.certificates).flat_map(|certificate| &certificate.names);
    let exact = served.clone().find(|name| !name.contains('*')).cloned();
    // Any name below a wildcard will do.
    let below = || served.clone().next().map(|name| name.replace('*', "relay"));
    let name = route.host.clone().or(exact).or_else(below);
    let name = name.unwrap_or_else(|| address.ip().to_string());
    let name = if name.contains(':') && !name.starts_with('[') { format!("[{name}]") } else { name };
    format!("{name}:{}", address.port())
}

/// The certificate files of a listener. They are read again here because a snapshot keeps what serves, not where it
/// came from.
fn chains(config: &Path, listener: &str) -> Result<Vec<PathBuf>, Unusable> {
    let text = std::fs::read_to_string(config).map_err(|error| format!("{}: {error}", config.display()))?;
    let raw: RawConfig = toml::from_str(&text).map_err(|_| format!("{} has changed", config.display()))?;
    let listeners = raw.listeners.iter().flatten().map(toml::Spanned::get_ref);
    let tls = listeners
        .filter(|raw| raw.name.as_ref().is_some_and(|name| name.get_ref() == listener))
        .filter_map(|raw| raw.tls.as_ref());
    let certificates = tls.filter_map(|tls| tls.get_ref().certificates.as_ref()).flat_map(|list| list.get_ref());
    let chains = certificates.filter_map(|raw| raw.get_ref().chain.as_ref());
    Ok(chains.map(|chain| named_in(config, chain.get_ref())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_reached_over_loopback() {
        let address = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(address("0.0.0.0:8443"), "127.0.0.1:8443");
        assert_eq!(address("[::]:8443"), "[::1]:8443");
        assert_eq!(address("192.0.2.1:8443"), "192.0.2.1:8443");
    }
}
