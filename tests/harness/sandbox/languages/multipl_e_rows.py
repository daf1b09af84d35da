# ruff: noqa: E501  lines of programs stay whole
"""Rows as `nuprl/MultiPL-E` has them, and solutions whose fate is known, written for these tests.

Two HumanEval problems in each language: `below_threshold` (52: are all numbers of a list below one?) and
`concatenate` (28: strings joined). Completions are what a model would write behind the prompt before the
language's stop tokens, so those of C++, Java and Rust lack the brace that the tests bring along.
"""

from typing import Any, NamedTuple


class Problem(NamedTuple):
    """One row's texts, and completions by what becomes of them."""

    prompt: str
    tests: str
    right: str
    wrong: str
    broken: str = ""  # no program of the language
    looping: str = ""


STOP_TOKENS = {
    "cpp": ["\n}"],
    "go_test.go": ["\nfunc", "struct", "\n// "],
    "java": ["\n    }\n"],
    "js": ["\nfunction ", "\n/*", "\n//", "\nconsole.log"],
    "php": ["\nfunction", "\n?>", "\n//", "\n#"],
    "pl": ["\nsub", "\n#", "\n\n"],
    "r": ["\n#", "\n```"],
    "rb": ["\nclass", "\ndef", "\n#", "\n\n"],
    "rs": ["\n}"],
    "ts": ["\nfunction ", "\n/*", "\n//", "\nclass"],
}

_GO_HEAD = 'package {name}_test\n\nimport (\n    "testing"\n    "fmt"\n)\n\n'
_GO_TAIL = """   }

	for i, tc := range tests {
		t.Run(fmt.Sprintf("test num % d", i), func(t *testing.T) {
			if fmt.Sprintf("%v", tc.actual) != fmt.Sprintf("%v", tc.expected) {
				t.Errorf("expected '%s', got '%s'", tc.expected, tc.actual)
			}
		})
	}
}
"""
_GO_TYPE = (
    "\ttype test struct {\n\t\tactual   interface{}\n\t\texpected interface{}\n\t}\n   tests := []test{\n"
)
_JAVA_HEAD = (
    "import java.util.*;\nimport java.lang.reflect.*;\nimport org.javatuples.*;\nimport java.security.*;\n"
    "import java.math.*;\nimport java.io.*;\nimport java.util.stream.*;\nclass Problem {\n"
)
_NODE_HEAD = "const assert = require('node:assert');\n\n\nfunction test() {\n"
_PHP_HEAD = "function candidate(...$args) {\n    return %s(...$args);\n}\n\nfunction test(): void {\n"
_PHP_FAIL = '{ throw new Exception("Test failed!"); }'
_PERL_HEAD = "use Test::Deep;\n\n\nsub testhumaneval {\n    my $candidate = \\&%s;\n"
_PERL_TAIL = ' {\n        print "ok!" }else{\n        exit 1;\n        }\n'

BELOW_THRESHOLD = {
    "cpp": Problem(
        prompt="#include<assert.h>\n#include<bits/stdc++.h>\n// Are all numbers of l below t?\n"
        "bool below_threshold(std::vector<long> l, long t) {\n",
        tests="}\nint main() {\n    auto candidate = below_threshold;\n"
        "    assert(candidate((std::vector<long>({(long)1, (long)2, (long)4})), (100)) == (true));\n"
        "    assert(candidate((std::vector<long>({(long)1, (long)20, (long)4})), (5)) == (false));\n}\n",
        right="    for (long x : l) if (x >= t) return false;\n    return true;",
        wrong="    return true;",
        broken="    return l.all(t);",
        looping="    volatile long x = 0; while (x < 1) {}\n    return true;",
    ),
    "go_test.go": Problem(
        prompt=_GO_HEAD.format(name="below_threshold") + "// Are all numbers of l below t?\n"
        "func below_threshold(l []int, t int) bool {\n",
        tests="func TestBelow_Threshold(t *testing.T) {\n  candidate := below_threshold\n"
        + _GO_TYPE
        + "     "
        "{ actual: candidate([]int{1, 2, 4}, 100), expected: true },\n     "
        "{ actual: candidate([]int{1, 20, 4}, 5), expected: false },\n" + _GO_TAIL,
        right="    for _, x := range l {\n        if x >= t {\n            return false\n        }\n    }\n"
        "    return true\n}\n",
        wrong="    return true\n}\n",
        broken="    unused := 1\n    return true\n}\n",
        looping="    for {\n    }\n}\n",
    ),
    "java": Problem(
        prompt=_JAVA_HEAD + "    // Are all numbers of l below t?\n"
        "    public static boolean belowThreshold(ArrayList<Long> l, long t) {\n",
        tests="    }\n    public static void main(String[] args) {\n"
        "    assert(belowThreshold((new ArrayList<Long>(Arrays.asList((long)1l, (long)2l))), (100l)) == (true));\n"
        "    assert(belowThreshold((new ArrayList<Long>(Arrays.asList((long)1l, (long)20l))), (5l)) == (false));\n"
        "    }\n\n}\n",
        right="        for (long x : l) { if (x >= t) return false; }\n        return true;",
        wrong="        return true;",
        broken="        return l.all(t);",
        looping="        long x = 0; while (x < 1) { x = x * 2; }\n        return true;",
    ),
    "js": Problem(
        prompt="//Are all numbers of l below t?\nfunction below_threshold(l, t){\n",
        tests=_NODE_HEAD
        + "  let candidate = below_threshold;\n  assert.deepEqual(candidate([1, 2, 4], 100),true);\n"
        "  assert.deepEqual(candidate([1, 20, 4], 5),false);\n}\n\ntest();",
        right="    return l.every(x => x < t);\n}\n",
        wrong="    return true;\n}\n",
        broken="    return l every t;\n}\n",
        looping="    while (true) {}\n}\n",
    ),
    "php": Problem(
        prompt="<?php\n// Are all numbers of l below t?\nfunction below_threshold($l, $t) {\n",
        tests=_PHP_HEAD % "below_threshold"
        + f"    if (candidate(array(1, 2, 4), 100) !== true) {_PHP_FAIL}\n"
        + f"    if (candidate(array(1, 20, 4), 5) !== false) {_PHP_FAIL}\n}}\n\ntest();",
        right="    foreach ($l as $x) { if ($x >= $t) return false; }\n    return true;\n}\n",
        wrong="    return true;\n}\n",
        broken="    return $l every $t;\n}\n",
        looping="    while (true) {}\n}\n",
    ),
    "pl": Problem(
        prompt="# Are all numbers of l below t?\nsub below_threshold {\n    my($l, $t) = @_;\n",
        tests=_PERL_HEAD % "below_threshold"
        + "    if(eq_deeply($candidate->([1, 2, 4], 100),1))"
        + _PERL_TAIL
        # the translation of False
        + '    if(eq_deeply($candidate->([1, 20, 4], 5),""))'
        + _PERL_TAIL
        + "}\n\ntesthumaneval();",
        right='    foreach my $x (@$l) { return "" if $x >= $t; }\n    return 1;\n}\n',
        wrong="    return 1;\n}\n",
        broken="    return ($l;\n}\n",
        looping="    while (1) {}\n}\n",
    ),
    "r": Problem(
        prompt="# Are all numbers of l below t?\nbelow_threshold <- function(l, t) {",
        tests="test_humaneval <- function() {\n    candidate <- below_threshold\n"
        "    stopifnot(isTRUE(all.equal(candidate(c(1, 2, 4), 100), TRUE)))\n"
        "    stopifnot(isTRUE(all.equal(candidate(c(1, 20, 4), 5), FALSE)))\n}\ntest_humaneval()",
        right="\n    all(l < t)\n}\n",
        wrong="\n    TRUE\n}\n",
        broken="\n    all(l <\n}\n",
        looping="\n    while (TRUE) {}\n}\n",
    ),
    "rb": Problem(
        prompt="# Are all numbers of l below t?\ndef below_threshold(l, t)\n",
        tests="require 'test/unit'\nclass TestHumanEval < Test::Unit::TestCase\n  def test_below_threshold\n"
        "    candidate = method(:below_threshold)\n    assert_equal(true, candidate.call([1, 2, 4], 100))\n"
        "    assert_equal(false, candidate.call([1, 20, 4], 5))\n  end\nend\n",
        right="  l.all? { |x| x < t }\nend",
        wrong="  true\nend",
        broken="  l.all? {\nend",
        looping="  loop {}\nend",
    ),
    "rs": Problem(
        prompt="/// Are all numbers of l below t?\nfn below_threshold(l: Vec<isize>, t: isize) -> bool {\n",
        tests="}\n\nfn main() {\n    let candidate = below_threshold;\n"
        "    assert_eq!(candidate(vec![1, 2, 4], 100), true);\n"
        "    assert_eq!(candidate(vec![1, 20, 4], 5), false);\n}\n",
        right="    l.iter().all(|&x| x < t)",
        wrong="    true",
        broken='    "true"',
        looping="    loop {}",
    ),
    "ts": Problem(
        prompt="//Are all numbers of l below t?\nfunction below_threshold(l: number[], t: number): boolean {\n",
        tests="declare var require: any;\n" + _NODE_HEAD + "  let candidate = below_threshold;\n"
        "  assert.deepEqual(candidate([1, 2, 4], 100),true);\n"
        "  assert.deepEqual(candidate([1, 20, 4], 5),false);\n}\n\ntest();",
        right="    return l.every(x => x < t);\n}\n",
        wrong="    return true;\n}\n",
        broken='    return "true";\n}\n',  # a mistake of types alone
        looping="    while (true) {}\n}\n",
    ),
}

CONCATENATE = {
    "cpp": Problem(
        prompt="#include<assert.h>\n#include<bits/stdc++.h>\n// Join the strings.\n"
        "std::string concatenate(std::vector<std::string> strings) {\n",
        tests="}\nint main() {\n    auto candidate = concatenate;\n"
        '    assert(candidate((std::vector<std::string>())) == (""));\n'
        '    assert(candidate((std::vector<std::string>({(std::string)"x", (std::string)"y"}))) == ("xy"));\n}\n',
        right='    return std::accumulate(strings.begin(), strings.end(), std::string(""));',
        wrong='    return strings.empty() ? "" : strings[0];',
    ),
    "go_test.go": Problem(
        prompt=_GO_HEAD.format(name="concatenate") + "// Join the strings.\n"
        "func concatenate(strings []string) string {\n",
        tests="func TestConcatenate(t *testing.T) {\n  candidate := concatenate\n" + _GO_TYPE + "     "
        '{ actual: candidate([]string{}), expected: "" },\n     '
        '{ actual: candidate([]string{"x", "y"}), expected: "xy" },\n' + _GO_TAIL,
        right='    joined := ""\n    for _, s := range strings {\n        joined += s\n    }\n    return joined\n}\n',
        wrong='    return ""\n}\n',
    ),
    "java": Problem(
        prompt=_JAVA_HEAD + "    // Join the strings.\n"
        "    public static String concatenate(ArrayList<String> strings) {\n",
        tests="    }\n    public static void main(String[] args) {\n"
        '    assert(concatenate((new ArrayList<String>(Arrays.asList()))).equals(("")));\n'
        '    assert(concatenate((new ArrayList<String>(Arrays.asList((String)"x", (String)"y")))).equals(("xy")));\n'
        "    }\n\n}\n",
        right='        return String.join("", strings);',
        wrong='        return "";',
    ),
    "js": Problem(
        prompt="//Join the strings.\nfunction concatenate(strings){\n",
        tests=_NODE_HEAD + '  let candidate = concatenate;\n  assert.deepEqual(candidate([]),"");\n'
        '  assert.deepEqual(candidate(["x", "y"]),"xy");\n}\n\ntest();',
        right='    return strings.join("");\n}\n',
        wrong="    return strings.join();\n}\n",
    ),
    "php": Problem(
        prompt="<?php\n// Join the strings.\nfunction concatenate($strings) {\n",
        tests=_PHP_HEAD % "concatenate"
        + f'    if (candidate(array()) !== "") {_PHP_FAIL}\n'
        + f'    if (candidate(array("x", "y")) !== "xy") {_PHP_FAIL}\n}}\n\ntest();',
        right='    return implode("", $strings);\n}\n',
        wrong='    return implode(",", $strings);\n}\n',
    ),
    "pl": Problem(
        prompt="# Join the strings.\nsub concatenate {\n    my($strings) = @_;\n",
        tests=_PERL_HEAD % "concatenate"
        + '    if(eq_deeply($candidate->([]),""))'
        + _PERL_TAIL
        + '    if(eq_deeply($candidate->(["x", "y"]),"xy"))'
        + _PERL_TAIL
        + "}\n\ntesthumaneval();",
        right="    return join('', @$strings);\n}\n",
        wrong="    return join(',', @$strings);\n}\n",
    ),
    "r": Problem(
        prompt="# Join the strings.\nconcatenate <- function(strings) {",
        tests="test_humaneval <- function() {\n    candidate <- concatenate\n"
        '    stopifnot(isTRUE(all.equal(candidate(c()), "")))\n'
        '    stopifnot(isTRUE(all.equal(candidate(c("x", "y")), "xy")))\n}\ntest_humaneval()',
        right='\n    paste(strings, collapse = "")\n}\n',
        wrong='\n    paste(strings, collapse = " ")\n}\n',
    ),
    "rb": Problem(
        prompt="# Join the strings.\ndef concatenate(strings)\n",
        tests="require 'test/unit'\nclass TestHumanEval < Test::Unit::TestCase\n  def test_concatenate\n"
        '    candidate = method(:concatenate)\n    assert_equal("", candidate.call([]))\n'
        '    assert_equal("xy", candidate.call(["x", "y"]))\n  end\nend\n',
        right="  strings.join\nend",
        wrong='  strings.join(" ")\nend',
    ),
    "rs": Problem(
        prompt="/// Join the strings.\nfn concatenate(strings: Vec<String>) -> String {\n",
        tests="}\n\nfn main() {\n    let candidate = concatenate;\n"
        '    assert_eq!(candidate(Vec::<String>::new()), String::from(""));\n'
        '    assert_eq!(candidate(vec![String::from("x"), String::from("y")]), String::from("xy"));\n}\n',
        right="    strings.concat()",
        wrong='    strings.join(" ")',
    ),
    "ts": Problem(
        prompt="//Join the strings.\nfunction concatenate(strings: string[]): string {\n",
        tests="declare var require: any;\n" + _NODE_HEAD + "  let candidate = concatenate;\n"
        '  assert.deepEqual(candidate([]),"");\n  assert.deepEqual(candidate(["x", "y"]),"xy");\n}\n\ntest();',
        right='    return strings.join("");\n}\n',
        wrong="    return strings.join();\n}\n",
    ),
}

PROBLEMS = {"HumanEval_52_below_threshold": BELOW_THRESHOLD, "HumanEval_28_concatenate": CONCATENATE}


def row(name: str, language: str) -> dict[str, Any]:
    """A problem in the hub's columns."""
    problem = PROBLEMS[name][language]
    return {
        "name": name,
        "language": language,
        "prompt": problem.prompt,
        "doctests": "transform",
        "original": f"{name}.py",
        "prompt_terminology": "reworded",
        "tests": problem.tests,
        "stop_tokens": STOP_TOKENS[language],
    }
