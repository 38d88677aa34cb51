/** Elements made in code. Text is always text: nothing from a server is ever parsed as HTML. */

export type Child = Node | string | number | null | undefined | false;

export interface Props {
  class?: string;
  /** Listeners by event name. */
  on?: Record<string, (event: never) => void>;
  [attribute: string]: unknown;
}

/** An element with attributes, listeners and children; attributes that are `false` or undefined are left out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  dress(made, props);
  append(made, children);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for SVG. */
export function s<K extends keyof SVGElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const made = document.createElementNS(SVG, tag);
  dress(made, props);
  append(made, children);
  return made;
}

function dress(element: Element, props: Props): void {
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(props.on ?? {})) {
        element.addEventListener(event, listener as EventListener);
      }
    } else if (name.startsWith("aria-") && value !== undefined) {
      element.setAttribute(name, String(value)); // true and false are words here
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== undefined && value !== null) {
      element.setAttribute(name, String(value));
    }
  }
}

function append(element: Element, children: Child[]): void {
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) element.append(child instanceof Node ? child : String(child));
  }
}

/** Put other children in the place of those an element has. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren();
  append(element, children);
}

const ICONS = {
  back: "M15 5l-7 7 7 7",
  sun: "M12 8a4 4 0 100 8 4 4 0 000-8M12 2v2M12 20v2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M2 12h2M20 12h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  moon: "M20 14.5A8 8 0 119.500 4a6.500 6.500 0 0010.500 10.500z",
  help: "M9.500 9a2.500 2.500 0 114 2c-1 .7-1.500 1.200-1.500 2.500M12 17.500v.01M12 3a9 9 0 100 18 9 9 0 000-18z",
  info: "M12 11v6M12 7.500v.01M12 3a9 9 0 100 18 9 9 0 000-18z",
  upload: "M12 16V4M7 9l5-5 5 5M4 20h16",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  pan: "M12 3v18M3 12h18M12 3l-2.500 2.500M12 3l2.500 2.500M12 21l-2.500-2.500M12 21l2.500-2.500M3 12l2.500-2.500M3 12l2.500 2.500M21 12l-2.500-2.500M21 12l-2.500 2.500",
  select: "M6 3l13 8.500-6 1.200-3 6.300z",
  point: "M12 21s-6-5.500-6-11a6 6 0 1112 0c0 5.500-6 11-6 11zM12 8.500a1.700 1.700 0 100 3.400 1.700 1.700 0 000-3.400",
  line: "M5 19L10 8l5 7 4-10",
  polygon: "M12 3l8 6-3 11H7L4 9z",
  hole: "M12 3l8 6-3 11H7L4 9zM12 9l3 2.500-1.200 4h-3.600L9 11.500z",
  box: "M4 6h16v12H4z",
  rotated: "M9.500 3.500l11 7-6 10-11-7z",
  ellipse: "M12 6c5 0 9 2.700 9 6s-4 6-9 6-9-2.700-9-6 4-6 9-6z",
  keypoints: "M12 5.500v5M12 10.500L6 18M12 10.500L18 18M12 2.500a1.500 1.500 0 100 3 1.500 1.500 0 000-3zM5.500 17.500a1.500 1.500 0 100 3 1.500 1.500 0 000-3zM18.500 17.500a1.500 1.500 0 100 3 1.500 1.500 0 000-3z",
  cut: "M6.500 15.500L19 4M6.500 8.500L19 20M5 4a2.500 2.500 0 100 5 2.500 2.500 0 000-5zM5 15a2.500 2.500 0 100 5 2.500 2.500 0 000-5z",
  magnet: "M5 4h4v8a3 3 0 006 0V4h4v8a7 7 0 01-14 0zM5 8h4M15 8h4",
  brush: "M19.500 3.500l-9 9.500M8.500 13.500c-2.500 0-3 2-3.200 4-.2 1.500-1.300 2-2.300 2.300 1.500.9 7.500 1.200 8.300-2.800.4-2-1-3.500-2.800-3.500z",
  eraser: "M8 20l-4.500-4.500L14 5l5.500 5.500L10 20zM8 20h12M9 10l5.500 5.500",
  ruler: "M3 16L16 3l5 5L8 21zM7 12l2 2M10 9l2 2M13 6l2 2",
  angle: "M5 19h15M5 19L15 5M12 19a7 7 0 00-2.800-5.600",
  trash: "M4 7h16M9 7V4h6v3M6.500 7l1 13h9l1-13",
  undo: "M9 14L4 9l5-5M4 9h10a6 6 0 010 12h-3",
  redo: "M15 14l5-5-5-5M20 9H10a6 6 0 000 12h3",
  eye: "M2.500 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12zM12 9.500a2.500 2.500 0 100 5 2.500 2.500 0 000-5z",
  hidden: "M4 4l16 16M9.500 5.900A9 9 0 0112 5.500c6 0 9.500 6.500 9.500 6.500a16 16 0 01-2.700 3.500M6 7.500A16 16 0 002.500 12S6 18.500 12 18.500a9 9 0 003.500-.7",
  lock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 017 0v3",
  unlock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 016.700-1.400",
  history: "M4 12a8 8 0 108-8 8 8 0 00-6.500 3.300L4 9M4 4v5h5M12 8v4.500l3 2",
  export: "M12 4v11M7 10.500l5 5 5-5M4 20h16",
  cross: "M12 3v7M12 14v7M3 12h7M14 12h7",
  contrast: "M12 3a9 9 0 100 18 9 9 0 000-18zM12 3v18M15 5v14M18 7.500v9",
  signout: "M10 4H5v16h5M15 8l4 4-4 4M19 12H9",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 13l4 4L19 7",
} as const;

export type IconName = keyof typeof ICONS;

/** A line drawing, decorative: its button says in words what it does. */
export function icon(name: IconName): SVGElement {
  return s("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, s("path", { d: ICONS[name] }));
}

export interface ButtonOptions {
  label: string;
  icon?: IconName;
  /** Key that does the same, told in the tip. */
  key?: string;
  text?: boolean;
  class?: string;
  press: () => void;
}

/** A button with an icon, a name for screen readers, and a tip. */
export function button(options: ButtonOptions): HTMLButtonElement {
  const tip = options.key ? `${options.label} (${options.key})` : options.label;
  return h(
    "button",
    {
      type: "button",
      class: options.class ?? "tool",
      title: tip,
      "aria-label": options.label,
      "aria-keyshortcuts": options.key,
      on: { click: options.press },
    },
    options.icon && icon(options.icon),
    (options.text || !options.icon) && options.label,
  );
}
