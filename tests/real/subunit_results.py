"""What a run of Tempest answered: subunit on standard input, on standard output a line of JSON for each test as it ends.

Run by the Python that Tempest is installed for: `[name, outcome, reason]`, outcome `success`, `fail`, `skip`, `xfail` or
`uxsuccess`. A class that could not be set up is one test, `setUpClass (class)`.
"""

import json
import re
import sys

import subunit
import testtools


def told(test):
    """One test, as testtools' StreamToDict has it."""
    if test["id"] is None or test["status"] == "exists":
        return
    name = re.sub(r"\[[^]]*\]$", "", test["id"])
    texts = {key: value.as_text() for key, value in test["details"].items() if value.content_type.type == "text"}
    reason = texts.get("reason") or texts.get("traceback") or "\n".join(texts.values())
    outcome = "fail" if test["status"] in ("inprogress", "unknown") else test["status"]
    print(json.dumps([name, outcome, "" if outcome == "success" else reason[-3000:]]), flush=True)


results = testtools.StreamToDict(told)
results.startTestRun()
subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="output").run(results)
results.stopTestRun()
