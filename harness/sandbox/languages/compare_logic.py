"""Deep equality in C#: the part of the library CompareNETObjects that multilingual HumanEval tests use.

The library itself is only available on NuGet. This version has the same names and semantics: two objects are
equal if they have the same type and equal values, by key in dictionaries and by position in sequences.
"""

COMPARE_LOGIC = """\
using System.Collections;
using System.Linq;

namespace KellermanSoftware.CompareNetObjects
{
    public class ComparisonResult
    {
        public bool AreEqual;
    }

    public class CompareLogic
    {
        public ComparisonResult Compare(object left, object right)
        {
            return new ComparisonResult { AreEqual = Equal(left, right) };
        }

        static bool Equal(object left, object right)
        {
            if (left == null || right == null) return left == null && right == null;
            if (left.GetType() != right.GetType()) return false;
            if (left is string) return left.Equals(right);
            if (left is IDictionary) return EqualEntries((IDictionary)left, (IDictionary)right);
            if (left is IEnumerable) return EqualElements((IEnumerable)left, (IEnumerable)right);
            return left.Equals(right);
        }

        static bool EqualEntries(IDictionary left, IDictionary right)
        {
            return left.Count == right.Count
                && left.Keys.Cast<object>().All(key => right.Contains(key) && Equal(left[key], right[key]));
        }

        static bool EqualElements(IEnumerable left, IEnumerable right)
        {
            var ours = left.Cast<object>().ToList();
            var theirs = right.Cast<object>().ToList();
            return ours.Count == theirs.Count && ours.Zip(theirs, Equal).All(equal => equal);
        }
    }
}
"""
