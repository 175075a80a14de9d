(()=>{"use strict";
// What a chart shows at one place, read from the table of its numbers: by pointer, or by arrow keys. And a part of its
// time from close by: dragged over with a mouse, or by buttons and the keys + - 0 and arrows.
const said=document.createElement("p");said.className="said";said.setAttribute("role","status");
document.body.append(said);
for(const svg of document.querySelectorAll("svg[data-time]")){
const box=svg.parentNode,[left,right,from,to]=svg.dataset.time.split(" ").map(Number),wide=right-left;
const shape=(name,kind)=>{const one=document.createElementNS(svg.namespaceURI,name);one.setAttribute("class",kind);return one};
const unit=e=>{const r=svg.getBoundingClientRect();return(e.clientX-r.left)*svg.viewBox.baseVal.width/r.width};
const inside=u=>u>=left&&u<=right;
// The part that is shown, in units of the drawing; where a place stands, and which place stands there.
let a=left,b=right;
const X=x=>left+(x-a)*wide/(b-a),back=u=>a+(u-left)*(b-a)/wide;
// What lies in time is moved, behind a window; names beside it stay. Crosses and dots keep their shape.
const pane=shape("g","pane"),moves=[];
const wrap=()=>{const clip=shape("clipPath",""),hole=shape("rect","");
clip.id="pane"+[...document.querySelectorAll("svg[data-time]")].indexOf(svg);clip.append(hole);
for(const[k,v]of Object.entries({x:left-4,y:0,width:wide+8,height:svg.viewBox.baseVal.height}))hole.setAttribute(k,v);
const own=[...svg.children].filter(c=>!["title","desc"].includes(c.tagName)&&c!==mark&&c!==drag&&!(c.tagName==="text"&&!inside(+c.getAttribute("x"))));
svg.insertBefore(pane,own[0]);pane.append(...own);svg.append(clip);pane.setAttribute("clip-path",`url(#${clip.id})`);
const keep=(one,key,at)=>{const was=one.getAttribute(key);moves.push(()=>one.setAttribute(key,b-a<wide?at(was):was))};
for(const one of pane.querySelectorAll("path,rect,circle,text:not(.limit-name)")){const kind=one.getAttribute("class")||"";
if(one.tagName==="path"){const off=/\bcross\b/.test(kind)?4:0;
keep(one,"d",d=>d.replace(/([MLHh])(-?[\d.]+)/g,(_,c,x)=>c+(c==="h"?x*wide/(b-a):X(+x+off)-off).toFixed(1)))}
else if(one.tagName==="rect"&&!/\bdot\b/.test(kind)){const x=+one.getAttribute("x"),w=+one.getAttribute("width");
keep(one,"x",()=>X(x).toFixed(1));keep(one,"width",()=>(w*wide/(b-a)).toFixed(1))}
else{const off=one.tagName==="rect"?2.5:0;keep(one,one.tagName==="circle"?"cx":"x",x=>(X(+x+off)-off).toFixed(1))}}};
const look=(start,width)=>{if(!moves.length)wrap();width=Math.max(wide/100,Math.min(wide,width));
a=Math.max(left,Math.min(right-width,start));b=a+width;for(const move of moves)move();
hide();const whole=b-a>=wide;out.disabled=all.disabled=whole;
const time=x=>{const s=(from+(x-left)*(to-from)/wide)/1000;return(s<0?"−":"+")+Math.abs(s).toFixed((to-from)*(b-a)/wide<2e4?3:1)+" s"};
part.textContent=whole?"":`${time(a)} to ${time(b)}`};
const zoom=by=>{const was=at,c=at<0?(a+b)/2:place(at),w=(b-a)*by;look(c-w/2,w);if(was>=0)show(was)};
const reset=()=>look(left,wide);
const bar=document.createElement("div");bar.className="zoom";bar.setAttribute("role","group");
bar.setAttribute("aria-label","zoom: "+box.getAttribute("aria-label"));
const part=bar.appendChild(document.createElement("output"));
const button=(sign,label,act)=>{const one=bar.appendChild(document.createElement("button"));one.type="button";
one.textContent=sign;one.setAttribute("aria-label",label);one.addEventListener("click",act);return one};
const out=button("−","zoom out",()=>zoom(2));button("+","zoom in",()=>zoom(.5));const all=button("reset","reset zoom",reset);
out.disabled=all.disabled=true;box.before(bar);
const drag=svg.appendChild(shape("rect","drag"));let began=null;
const mark=svg.appendChild(shape("path","hover"));
const table=svg.dataset.top&&(svg.closest("section").querySelector("details table")||document.querySelector("details.numbers table"));
const names=table?[...table.tHead.rows[0].cells].map(c=>c.textContent):[],rows=table?table.tBodies[0].rows:[];
let at=-1;
const place=i=>left+wide*(i+.5)/rows.length;
const show=(i,x,y)=>{i=Math.max(0,Math.min(rows.length-1,i));if(place(i)<a||place(i)>b)look(place(i)-(b-a)/2,b-a);at=i;
mark.setAttribute("d",`M${X(place(at))} ${svg.dataset.top}V${svg.dataset.bottom}`);
said.textContent=[...rows[at].cells].map((c,k)=>k?`${names[k]} ${c.textContent}`:c.textContent).join(" · ");
const r=svg.getBoundingClientRect(),w=said.offsetWidth;
x??=r.left+r.width*X(place(at))/svg.viewBox.baseVal.width;y??=r.top+r.height*svg.dataset.top/svg.viewBox.baseVal.height;
said.style.left=Math.max(4,Math.min(innerWidth-w-8,x+14))+"px";said.style.top=Math.max(4,y-said.offsetHeight-12)+"px";
said.classList.add("on")};
const hide=()=>{at=-1;mark.removeAttribute("d");said.classList.remove("on")};
const drop=()=>{began=null;drag.removeAttribute("width")};
svg.classList.add("live");
svg.addEventListener("pointerdown",e=>{if(!e.button&&e.pointerType!=="touch"&&inside(unit(e))){began=unit(e);svg.setPointerCapture(e.pointerId)}});
svg.addEventListener("pointermove",e=>{const u=Math.max(left,Math.min(right,unit(e)));
if(began!==null)for(const[k,v]of Object.entries({x:Math.min(u,began),y:0,width:Math.abs(u-began),height:svg.viewBox.baseVal.height}))drag.setAttribute(k,v);
if(table)inside(unit(e))?show(Math.floor((back(u)-left)/wide*rows.length),e.clientX,e.clientY):hide()});
svg.addEventListener("pointerup",e=>{const u=Math.max(left,Math.min(right,unit(e))),was=began;drop();
if(was!==null&&Math.abs(u-was)>6)look(back(Math.min(u,was)),back(Math.max(u,was))-back(Math.min(u,was)))});
svg.addEventListener("pointercancel",drop);
svg.addEventListener("pointerleave",hide);
box.addEventListener("blur",hide);
box.addEventListener("keydown",e=>{if(e.ctrlKey||e.metaKey||e.altKey)return;
const step={ArrowLeft:-1,ArrowRight:1}[e.key],by={"+":.5,"=":.5,"-":2}[e.key];
if(by)zoom(by);else if(e.key==="0")reset();
else if(step&&b-a<wide&&(e.shiftKey||!table))look(a+step*(b-a)/4,b-a);
else if(step&&table)show(at<0?(step>0?Math.ceil((a-left)/wide*rows.length-.5):Math.floor((b-left)/wide*rows.length-.5)):at+step);
else{if(e.key==="Escape"){hide();drop()}return}
e.preventDefault()});
}})();