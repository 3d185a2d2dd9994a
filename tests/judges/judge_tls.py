"""sslyze: what the edge's TLS offers, against Mozilla's profiles, and the known holes.

The base is what is asked for, not a direct connection: the backend speaks no TLS.
"""

from place import ADDRESS, Way, load_json, port
from verdict import Result

WHAT = "sslyze: Mozilla's profiles, protocols, and the known holes of TLS"
EXCEPTIONS = {}
PROTOCOLS = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")
SCANS = ["--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--heartbleed", "--robot", "--openssl_ccs",
         "--fallback", "--compression", "--reneg", "--early_data", "--ems", "--elliptic_curves", "--certinfo", "--resum"]


def run(place, effort):
    python = place.python("tls", ["sslyze"])
    way = Way(place, f"http://{ADDRESS}:{port()}", 200)
    sslyze = python.removesuffix("python") + "sslyze"
    found, notes = {}, []
    for profile in ("intermediate", "modern"):
        argv = [sslyze, f"--mozilla_config={profile}", "--certinfo_ca_file", str(way.trust), f"localhost:{way.https}"]
        code, said = place.run(f"sslyze-{profile}", argv, 90, accept=(0, 1))
        verdict = "pass" if code == 0 else "failed"
        said = said[said.index("COMPLIANCE AGAINST"):]
        why = [line.strip()[2:].split(":")[0] for line in said.splitlines() if line.strip().startswith("* ")]
        if profile == "intermediate":
            found["Mozilla intermediate"] = verdict
        else:
            notes.append(f"Mozilla's modern profile, TLS 1.3 alone, is not asked for: {verdict} ({', '.join(why)}).")
    out = place.dir / "scan.json"
    place.run("sslyze", [sslyze, *SCANS, "--json_out", str(out), f"localhost:{way.https}"], 90, accept=(0, 1))
    scan = load_json(out)["server_scan_results"][0]["scan_result"]

    def result(name):
        return scan[name]["result"]

    checks = {f"no {name}": not result(f"{name}_cipher_suites")["accepted_cipher_suites"] for name in PROTOCOLS}
    checks |= {f"{name} offered": bool(result(f"{name}_cipher_suites")["accepted_cipher_suites"]) for name in ("tls_1_2", "tls_1_3")}
    checks |= {
        "no heartbleed": not result("heartbleed")["is_vulnerable_to_heartbleed"],
        "no CCS injection": not result("openssl_ccs_injection")["is_vulnerable_to_ccs_injection"],
        "no ROBOT": "NOT_VULNERABLE" in result("robot")["robot_result"],
        "no compression": not result("tls_compression")["supports_compression"],
        "no renegotiation by clients": not result("session_renegotiation")["is_vulnerable_to_client_renegotiation_dos"],
        "no early data": not result("tls_1_3_early_data")["supports_early_data"],
        "extended master secret": bool(result("tls_extended_master_secret")["supports_ems_extension"]),
        "TLS_FALLBACK_SCSV": bool(result("tls_fallback_scsv")["supports_fallback_scsv"]),
    }
    found |= {case: "pass" if held else "failed" for case, held in checks.items()}
    suites = [suite["cipher_suite"]["name"] for name in ("tls_1_2", "tls_1_3")
              for suite in result(f"{name}_cipher_suites")["accepted_cipher_suites"]]
    curves = [curve["name"] for curve in result("elliptic_curves")["supported_curves"]]
    notes += [f"Cipher suites: {', '.join(suites)}.", f"Curves: {', '.join(curves)}."]
    return Result(dict.fromkeys(found, "pass"), {"https": found}, "asked for", place.versions(python, "sslyze"), notes)
