# ruff: noqa: E501  lines of programs stay whole
"""Rows as `mxeval/multi-humaneval` has them, and solutions whose fate is known, written for these tests.

`below_threshold` (HumanEval 52) in each language, for machines without the dataset. Its completions, and
those of `concatenate` (28), fit the dataset's own rows as well. A completion ends before the line that closes its
function; the filter of the tasks puts that back.
"""

from typing import Any

from tests.harness.sandbox.languages.multipl_e_rows import Problem

_FAIL = "Exception --- test case failed to pass"

BELOW_THRESHOLD = {
    "csharp": Problem(
        prompt="using System;\nusing System.Collections.Generic;\nusing System.Linq;\n"
        "using System.Text.RegularExpressions;\nusing KellermanSoftware.CompareNetObjects;\n\n"
        "namespace Solution\n{\n    public class Program\n    {\n"
        "        public static bool BelowThreshold (List<int> l, int t) \n        {\n",
        tests="\n\n        public static void Main(string[] args)\n        {\n"
        "            CompareLogic compareLogic = new CompareLogic();\n"
        "            var actual1 = BelowThreshold(new List<int> {1,2,4},100);\n"
        "            var result1 = compareLogic.Compare(actual1, true);\n"
        f'            if (!result1.AreEqual) {{throw new Exception("{_FAIL}");}}\n'
        "            var actual2 = BelowThreshold(new List<int> {1,20,4},5);\n"
        "            var result2 = compareLogic.Compare(actual2, false);\n"
        f'            if (!result2.AreEqual) {{throw new Exception("{_FAIL}");}}\n\n        }}\n    }}\n}}\n',
        right="            return l.All(x => x < t);",
        wrong="            return true;",
        broken="            return l.all(t);",
        looping="            while (true) {}",
    ),
    "go": Problem(
        prompt='package main\n\nimport (\n\t"encoding/json"\n\t"reflect"\n)\n'
        "func below_threshold (l []int, t int) bool {\n",
        tests="\n\nfunc same(a interface{}, b interface{}) {\n\taJSON, _ := json.Marshal(a)\n"
        "\tbJSON, _ := json.Marshal(b)\n\tif !reflect.DeepEqual(aJSON, bJSON) {\n"
        f'\t\tpanic("{_FAIL}")\n\t}}\n}}\n\nfunc main() {{\n'
        "\tsame(below_threshold([]int{1, 2, 4}, 100), true)\n"
        "\tsame(below_threshold([]int{1, 20, 4}, 5), false)\n\n}",
        right="    for _, x := range l {\n        if x >= t {\n            return false\n        }\n    }\n"
        "    return true",
        wrong="    return true",
        broken="    unused := 1\n    return true",
        looping="    for {\n    }",
    ),
    "java": Problem(
        prompt="import java.io.*;\nimport java.lang.*;\nimport java.util.*;\nimport java.math.*;\n\n\n"
        "class BelowThreshold {\n    public static Boolean belowThreshold(List<Integer> l, int t) {\n",
        tests="\n\n\nclass Main {\n    public static void main(String[] args) throws Exception {\n"
        "        Boolean x0 = BelowThreshold.belowThreshold(Arrays.asList(1, 2, 4), 100);\n"
        f'        if (!x0.equals(true)) {{\n            throw new java.lang.Exception("{_FAIL}");\n        }}\n'
        "        Boolean x1 = BelowThreshold.belowThreshold(Arrays.asList(1, 20, 4), 5);\n"
        f'        if (!x1.equals(false)) {{\n            throw new java.lang.Exception("{_FAIL}");\n        }}\n'
        "\n\n}\n}\n",
        right="        return l.stream().allMatch(x -> x < t);",
        wrong="        return true;",
        broken="        return l.all(t);",
        looping="        long x = 0; while (x < 1) { x = x * 2; }\n        return true;",
    ),
    "javascript": Problem(
        prompt="function belowThreshold(l, t) {\n",
        tests='\nconst _ = require("lodash")\n\nfunction compare(object1, object2){\n'
        "    return _.isEqual(object1, object2)\n}\n\nvar x0 = belowThreshold([1, 2, 4], 100);\n"
        f"if(!compare(x0, true)){{\n    throw '{_FAIL}'\n}}\nvar x1 = belowThreshold([1, 20, 4], 5);\n"
        f"if(!compare(x1, false)){{\n    throw '{_FAIL}'\n}}\n",
        right="    return l.every(x => x < t);",
        wrong="    return true;",
        broken="    return l every t;",
        looping="    while (true) {}",
    ),
    "perl": Problem(
        prompt="sub below_threshold {\n    my ($l, $t) = @_;\n",
        tests="use Data::Compare;\n\nmy $x0 = below_threshold([1, 2, 4], 100);\n"
        f'if (!Compare($x0, 1)) {{\n    die "{_FAIL}";\n}}\nmy $x1 = below_threshold([1, 20, 4], 5);\n'
        f'if (!Compare($x1, "")) {{\n    die "{_FAIL}";\n}}\n',
        right='    foreach my $x (@$l) { return "" if $x >= $t; }\n    return 1;',
        wrong="    return 1;",
        broken="    return ($l;",
        looping="    while (1) {}",
    ),
    "php": Problem(
        prompt="<?php\n\nfunction belowThreshold($l, $t){\n",
        tests="\n\nfunction compare($x, $y) {\n    return $x == $y;\n}\n\n"
        "$x0 = belowThreshold([1, 2, 4], 100);\nif (!compare($x0, true)) {\n"
        f'    throw new Exception("{_FAIL}");\n}}\n$x1 = belowThreshold([1, 20, 4], 5);\n'
        f'if (!compare($x1, false)) {{\n    throw new Exception("{_FAIL}");\n}}\n',
        right="    foreach ($l as $x) { if ($x >= $t) return false; }\n    return true;",
        wrong="    return true;",
        broken="    return $l every $t;",
        looping="    while (true) {}",
    ),
    "ruby": Problem(
        prompt="\ndef below_threshold(l, t)\n",
        tests="\n\nx0 = below_threshold([1, 2, 4], 100)\nif x0 != true\n"
        f'    raise StandardError, "{_FAIL}"\nend\nx1 = below_threshold([1, 20, 4], 5)\nif x1 != false\n'
        f'    raise StandardError, "{_FAIL}"\nend\n',
        right="  l.all? { |x| x < t }",
        wrong="  true",
        broken="  l.all? {",
        looping="  loop {}",
    ),
    "typescript": Problem(
        prompt="const below_threshold = function (l: Array<number>, t: number) : boolean  {\n",
        tests="\nimport * as assert from 'assert'\n\nlet actual_1 = below_threshold([1, 2, 4], 100);\n"
        f'assert.deepEqual(actual_1, true, "{_FAIL}");\n\nlet actual_2 = below_threshold([1, 20, 4], 5);\n'
        f'assert.deepEqual(actual_2, false, "{_FAIL}");\n',
        right="    return l.every(x => x < t);",
        wrong="    return true;",
        broken='    return "true";',
        looping="    while (true) {}",
    ),
}

CONCATENATE = {  # (right, wrong) for the dataset's own rows
    "csharp": (
        '            return string.Join("", strings);',
        '            return string.Join(" ", strings);',
    ),
    "go": (
        '    joined := ""\n    for _, s := range strings { joined += s }\n    return joined',
        '    return ""',
    ),
    "java": (
        '        String joined = "";\n        for (Object s : strings) { joined += s; }\n        return joined;',
        '        return "";',
    ),
    "javascript": ('    return strings.join("");', "    return strings.join();"),
    "php": ('    return implode("", $strings);', '    return implode(",", $strings);'),
    "ruby": ("  strings.join", '  strings.join(" ")'),
    "typescript": ('    return strings.join("");', "    return strings.join();"),
}


def row(language: str) -> dict[str, Any]:
    """`below_threshold` in the hub's columns."""
    problem = BELOW_THRESHOLD[language]
    return {
        "task_id": f"HumanEval_{language}/52",
        "prompt": problem.prompt,
        "test": problem.tests,
        "language": language,
        "description": "Are all numbers of l below t?",
        "entry_point": "below_threshold",
        "canonical_solution": None,
    }
