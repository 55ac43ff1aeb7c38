/**
 * Bundle an example of clients/js/examples with the packages, as its developers would.
 *
 *     node bundle.js EXAMPLE PACKAGES SERVER > bundle.js
 *
 * PACKAGES is what clients/js/pack.js has made; the bundle mounts the example's bell on the page.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { compile } from "svelte/compiler";

const [example, packages, server] = process.argv.slice(2);
const HERE = fileURLToPath(new URL(".", import.meta.url));
const EXAMPLES = join(HERE, "..", "..", "clients", "js", "examples");

const MOUNTS = {
  react: `
    import { createElement } from "react";
    import { createRoot } from "react-dom/client";
    import { Bell } from ${JSON.stringify(join(EXAMPLES, "react.jsx"))};
    createRoot(place).render(createElement(Bell, { tocsin }));`,
  vue: `
    import { createApp } from "vue";
    import { Bell } from ${JSON.stringify(join(EXAMPLES, "vue.js"))};
    createApp(Bell, { tocsin }).mount(place);`,
  svelte: `
    import { mount } from "svelte";
    import Bell from ${JSON.stringify(join(EXAMPLES, "Bell.svelte"))};
    mount(Bell, { target: place, props: { tocsin } });`,
};

const svelte = {
  name: "svelte",
  setup({ onLoad }) {
    onLoad({ filter: /\.svelte$/ }, ({ path }) => {
      const { js } = compile(readFileSync(path, "utf8"), { filename: path, css: "injected" });
      return { contents: js.code };
    });
  },
};

const { outputFiles } = await build({
  stdin: {
    contents: `
      import { Tocsin } from "@tocsin/client";
      const token = async () => (await fetch("/token")).text();
      const tocsin = (globalThis.tocsin = new Tocsin(${JSON.stringify(server)}, { token }).connect());
      const place = document.body.appendChild(document.createElement("div"));
      ${MOUNTS[example]}`,
    resolveDir: HERE,
  },
  bundle: true,
  format: "esm",
  minify: true,
  write: false,
  conditions: ["browser"],
  define: { "process.env.NODE_ENV": '"production"', __VUE_OPTIONS_API__: "false", __VUE_PROD_DEVTOOLS__: "false", __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false" },
  jsx: "automatic",
  alias: { "@tocsin/client": join(packages, "client") },
  nodePaths: [join(HERE, "node_modules")],
  plugins: [svelte],
});
process.stdout.write(outputFiles[0].text);
