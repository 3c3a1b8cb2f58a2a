/// One HTML page that shows stacks as a flame graph, with zoom and search. It needs no network and
/// no other file.
public enum FlameGraph {
  /// - Parameters:
  ///   - title: above the graph.
  ///   - unit: what amounts are, e.g. `files`.
  /// - Returns: the page. Names are data to it, never markup: they come from the programs that were
  ///   watched.
  public static func page(_ holdings: [Holding], title: String, unit: String) -> String {
    let tree = Tree(holdings)
    let names = tree.names.map(json).joined(separator: ",")
    let nodes = tree.nodes.map { "\($0.parent),\($0.name),\($0.amount)" }.joined(separator: ",")
    return """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8"><title>\(escaped(title))</title>
      <meta name="viewport" content="width=device-width">
      <style>\(style)</style></head>
      <body><h1>\(escaped(title))</h1>
      <p><b>\(tree.nodes[0].amount)</b> \(escaped(unit)), \(holdings.count) stacks.
      Click to zoom, click the bottom to zoom out.
      <label>Search <input id="search" type="search" spellcheck="false"></label>
      <span id="found"></span></p>
      <div id="graph"></div><p id="detail">&nbsp;</p>
      <script>
      const unit = \(json(unit)), names = [\(names)], flat = [\(nodes)];
      \(script)</script></body></html>

      """
  }

  private static func escaped(_ text: String) -> String {
    var out = ""
    for c in text {
      switch c {
      case "&": out += "&amp;"
      case "<": out += "&lt;"
      case ">": out += "&gt;"
      case "\"": out += "&quot;"
      default: out.append(c)
      }
    }
    return out
  }

  /// A string literal that is JSON, JavaScript, and safe inside <script>.
  private static func json(_ text: String) -> String {
    var out = "\""
    for c in text.unicodeScalars {
      if c == "\"" || c == "\\" {
        out += "\\\(c)"
      } else if c.value < 0x20 || c == "<" || c == ">" || c == "&" || c.value == 0x2028
        || c.value == 0x2029
      {
        let digits = String(c.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      } else {
        out.unicodeScalars.append(c)
      }
    }
    return out + "\""
  }

  private static let style = """
    body{font:14px system-ui,sans-serif;margin:1em}h1{font-size:1.2em}
    #graph{position:relative;overflow:hidden;font-size:12px}
    #graph div{position:absolute;height:17px;line-height:17px;overflow:hidden;white-space:nowrap;text-overflow:ellipsis;
    box-sizing:border-box;border-right:1px solid #fff;padding-left:3px;cursor:pointer;color:#000}
    #graph div:hover{outline:1px solid #000}
    """

  /// `layout` is pure: the boxes for a focused node, widths and places as parts of 1. The page
  /// draws them.
  private static let script = """
    const parents = [], label = [], total = [], children = [], depth = [];
    for (let i = 0; i * 3 < flat.length; i++) {
      parents[i] = flat[i * 3]; label[i] = names[flat[i * 3 + 1]]; total[i] = flat[i * 3 + 2];
      children[i] = []; depth[i] = i ? depth[parents[i]] + 1 : 0;
      if (i) children[parents[i]].push(i);
    }
    for (const list of children) list.sort((a, b) => label[a] < label[b] ? -1 : label[a] > label[b] ? 1 : 0);
    function layout(focus, least) {
      const boxes = [];
      for (let i = focus; i; ) { i = parents[i]; boxes.push({node: i, left: 0, width: 1}); }
      const todo = [{node: focus, left: 0, width: 1}];
      while (todo.length) {
        const box = todo.pop();
        boxes.push(box);
        let left = box.left;
        for (const child of children[box.node]) {
          const width = total[box.node] ? box.width * total[child] / total[box.node] : 0;
          if (width >= least) todo.push({node: child, left, width});
          left += width;
        }
      }
      return boxes;
    }
    // What matches, each unit once: below a match nothing is counted again.
    function matching(word) {
      let sum = 0;
      const inside = [];
      for (let i = 0; i < total.length; i++) {
        const hit = word !== '' && label[i].toLowerCase().includes(word);
        inside[i] = (i > 0 && inside[parents[i]]) || hit;
        if (hit && !(i > 0 && inside[parents[i]])) sum += total[i];
      }
      return sum;
    }
    if (typeof document !== 'undefined') {
      const graph = document.getElementById('graph'), search = document.getElementById('search');
      const share = i => (100 * total[i] / (total[0] || 1)).toFixed(2) + ' %';
      const said = i => label[i] + ': ' + total[i] + ' ' + unit + ' (' + share(i) + ')';
      let focus = 0;
      const draw = () => {
        const word = search.value.toLowerCase(), boxes = layout(focus, 0.5 / (graph.clientWidth || 1000));
        const rows = 1 + boxes.reduce((most, b) => Math.max(most, depth[b.node]), 0);
        graph.style.height = rows * 18 + 'px';
        graph.replaceChildren(...boxes.map(b => {
          const box = document.createElement('div'), hit = word !== '' && label[b.node].toLowerCase().includes(word);
          let hash = 0;
          for (const c of label[b.node]) hash = (hash * 31 + c.codePointAt(0)) % 997;
          box.style.left = 100 * b.left + '%';
          box.style.width = 100 * b.width + '%';
          box.style.top = (rows - 1 - depth[b.node]) * 18 + 'px';
          box.style.background = hit ? '#c9f' : 'hsl(' + (20 + hash % 40) + ',85%,' + (65 + hash % 13) + '%)';
          box.style.opacity = depth[b.node] < depth[focus] ? 0.5 : 1;
          box.textContent = label[b.node];
          box.title = said(b.node);
          box.onclick = () => { focus = b.node; draw(); };
          box.onmouseenter = () => { document.getElementById('detail').textContent = said(b.node); };
          return box;
        }));
        const sum = matching(word);
        document.getElementById('found').textContent = word ? sum + ' ' + unit + ' match' : '';
      };
      search.oninput = draw;
      window.onresize = draw;
      draw();
    }

    """
}

/// All stacks in one tree; a node comes after its parent.
private struct Tree {
  struct Node {
    var parent: Int
    var name: Int
    var amount: Int64
  }
  private struct Edge: Hashable { var parent, name: Int }

  var nodes = [Node(parent: 0, name: 0, amount: 0)]
  var names = ["all"]

  /// What is not positive has no width and is left out.
  init(_ holdings: [Holding]) {
    var numbers = ["all": 0]
    var edges: [Edge: Int] = [:]
    for (stack, amount) in holdings where amount > 0 {
      var at = 0
      nodes[0].amount &+= amount
      for label in stack.isEmpty ? ["[unknown]"] : stack.reversed().map(\.label) {
        let name = numbers[label] ?? names.count
        if name == names.count {
          numbers[label] = name
          names.append(label)
        }
        let edge = Edge(parent: at, name: name)
        at = edges[edge] ?? nodes.count
        if at == nodes.count {
          edges[edge] = at
          nodes.append(Node(parent: edge.parent, name: name, amount: 0))
        }
        nodes[at].amount &+= amount
      }
    }
  }
}
